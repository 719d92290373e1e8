//! The examples of the documentation of Netlify and Cloudflare Pages. Where this server differs, the line says so.

use super::*;
use crate::http::Scheme;

/// What the rules answer at `https://example.org`, or another host: status and Location or file.
fn answer(file: &str, uri: &str) -> String {
    let parsed = RedirectRules::parse(file.as_bytes()).unwrap();
    let absolute = uri.split_once("://").filter(|_| !uri.starts_with('/'));
    let (scheme, rest) = absolute.map_or(("https", uri), |(scheme, rest)| (scheme, rest));
    let (host, target) =
        if absolute.is_some() { rest.split_at(rest.find('/').unwrap()) } else { ("example.org", rest) };
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let scheme = if scheme == "http" { Scheme::Http } else { Scheme::Https };
    let request = RuleRequest { scheme, host: Some(host), path: path.as_bytes(), query };
    let found = parsed.rules.find(&request, true).or_else(|| parsed.rules.find(&request, false));
    let text = found.map(|found| {
        let target = match found.target {
            Target::Location(location) => location,
            Target::Path(path) => format!("= {}", String::from_utf8(path).unwrap()),
        };
        format!("{} {target}", found.rule.status.code())
    });
    text.or_else(|| Some(format!("refused: {}", parsed.mistakes.first()?.reason))).unwrap_or_default()
}

#[test]
fn redirects_of_netlify() {
    for (file, uri, expected) in [
        ("/home /", "/home", "301 /"),
        ("/blog/my-post.php /blog/my-post", "/blog/my-post.php", "301 /blog/my-post"),
        ("/cuties https://www.petsofnetlify.com", "/cuties", "301 https://www.petsofnetlify.com/"),
        ("/authors/c%C3%A9line /authors/about-c%C3%A9line", "/authors/c\u{e9}line", "301 /authors/about-c%C3%A9line"),
        ("/my-redirect / 302", "/my-redirect", "302 /"),
        ("/ecommerce /store-closed 404", "/ecommerce", "404 = /store-closed"),
        ("/pass-through /index.html 200", "/pass-through", "200 = /index.html"),
        ("/en/* /en/404.html 404", "/en/no/page", "404 = /en/404.html"),
        ("/best-pets/dogs /best-pets/cats.html 200!", "/best-pets/dogs", "200 = /best-pets/cats.html"),
        ("/news/* /blog/:splat", "/news/2004/01/10/my-story", "301 /blog/2004/01/10/my-story"),
        ("/news/* /blog/:splat", "/news", "301 /blog/"),
        ("/jobs/x /careers/x\n/jobs/* /careers/:splat", "/jobs/y", "301 /careers/y"),
        (
            "/news/:month/:date/:year/:slug /blog/:year/:month/:date/:slug",
            "/news/02/12/2004/my-story",
            "301 /blog/2004/02/12/my-story",
        ),
        ("/news/:year/:slug /blog/:slug", "/news/2004/a/b", ""),
        ("/store id=:id /blog/:id 301", "/store?id=my-blog-post", "301 /blog/my-blog-post"),
        ("/articles id=:id tag=:tag /posts/:tag/:id 301", "/articles?tag=t&id=1", "301 /posts/t/1"),
        ("/articles id=:id tag=:tag /posts/:tag/:id 301", "/articles?id=1", ""),
        ("/ page=news /news", "/?page=news", "301 /news"),
        ("/ _escaped_fragment_=/about /about 301", "/?_escaped_fragment_=/about", "301 /about"),
        ("/blog/my-post-ads.php /blog/my-post#ads", "/blog/my-post-ads.php", "301 /blog/my-post#ads"),
        ("/a /b", "/a/?utm=1", "301 /b?utm=1"),
        (
            "http://blog.yoursite.com/* https://www.yoursite.com/blog/:splat 301!",
            "http://blog.yoursite.com/x",
            "301 https://www.yoursite.com/blog/x",
        ),
        ("http://blog.yoursite.com/* https://www.yoursite.com/blog/:splat 301!", "https://blog.yoursite.com/x", ""),
        ("/* /index.html 200", "/deep/link", "200 = /index.html"),
        ("/app/* /app/index.html 200!", "/app/x", "200 = /app/index.html"),
        // Differences. A rule whose condition this server does not have, and a proxy, never apply.
        ("/ /anz 302 Country=au,nz", "/", "refused: this server does not have the condition \"Country\""),
        (
            "/israel/* /israel/he/:splat 302 Language=he",
            "/israel/x",
            "refused: this server does not have the condition",
        ),
        ("/admin/* /admin/:splat 200! Role=admin", "/admin/x", "refused: this server does not have the condition"),
        ("/* /preview/:splat 302 Cookie=preview", "/x", "refused: this server does not have the condition \"Cookie\""),
        (
            "/api/* https://api.example.com/:splat 200",
            "/api/x",
            "refused: \"https://api.example.com/:splat\" is not a file",
        ),
        (
            "/blog/remove-my-slashes/ /blog/remove-my-slashes 301!",
            "/blog/remove-my-slashes",
            "refused: the rule redirects",
        ),
    ] {
        let found = answer(file, uri);
        let is_expected = found == expected || expected.starts_with("refused") && found.starts_with(expected);
        assert!(is_expected, "{file} {uri}: {found}");
    }
}

#[test]
fn redirects_of_cloudflare_pages() {
    for (file, uri, expected) in [
        ("/home301 / 301", "/home301", "301 /"),
        ("/home302 / 302", "/home302", "302 /"),
        ("/querystrings /?query=string 301", "/querystrings?x", "301 /?query=string"),
        ("/page/ /page2/#fragment 301", "/page/", "301 /page2/#fragment"),
        ("/notrailing/ /nottrailing 301", "/notrailing/", "301 /nottrailing"),
        ("/blog/* https://blog.my.domain/:splat 302", "/blog/a/b", "302 https://blog.my.domain/a/b"),
        (
            "/products/:code/:name /products?code=:code&name=:name 302",
            "/products/123/red car",
            "302 /products?code=123&name=red%20car",
        ),
        ("/movies/:title /media/:title 302", "/movies/x", "302 /media/x"),
        ("/blog/* /news/:splat 200", "/blog/x", "200 = /news/x"),
        ("/a /b 200\n/b /c 200", "/a", "200 = /b"),
        ("/:code/:name.jpg /:name/:code 303", "/123/tricycle.jpg", "303 /tricycle/123"),
        ("/a /b 302 # comment", "/a", "302 /b"),
        (
            "/a https://some.domain:1234/route?q=string#anchor 307",
            "/a?x",
            "307 https://some.domain:1234/route?q=string#anchor",
        ),
        // Differences: the status, if it is omitted, is Netlify's.
        ("/twitch https://twitch.tv", "/twitch", "301 https://twitch.tv/"),
        // The slash at the end never matters, and a pattern matches its directory.
        ("/trailing /trailing/ 301", "/trailing", "refused: the rule redirects \"/trailing\" to itself"),
        ("/foo/* /bar/:splat 302", "/foo", "302 /bar/"),
        // The query is not dropped from the source.
        ("/c?this=rejected /d 301", "/c", "refused: \"/c?this=rejected\": a path has no query"),
    ] {
        let found = answer(file, uri);
        let is_expected = found == expected || expected.starts_with("refused") && found.starts_with(expected);
        assert!(is_expected, "{file} {uri}: {found}");
    }
}

/// The fields of a response, as `name: value`.
fn fields(file: &str, host: &str, path: &str) -> Vec<String> {
    let parsed = HeaderRules::parse(file.as_bytes()).unwrap();
    assert_eq!(parsed.mistakes, [], "{file}");
    let changes = parsed.rules.changes(Some(host), path.as_bytes());
    changes.set.iter().map(|line| format!("{}: {}", line.name, line.value)).collect()
}

#[test]
fn headers_of_netlify() {
    let file = "# a path:\n/templates/index.html\n  # headers for that path:\n  X-Frame-Options: DENY\n\
        # another path:\n/templates/index2.html\n  X-Frame-Options: SAMEORIGIN\n\
        /*\n  cache-control: max-age=0\n  cache-control: no-cache\n  cache-control: no-store\n  cache-control: must-revalidate\n\
        /static-path/*\n  X-Thing: a\n/with-colon\n  Custom-header: http://www.example.com\n/:placeholder/index.html\n  X-P: 1\n";
    let cache = "cache-control: max-age=0, no-cache, no-store, must-revalidate";
    for (path, expected) in [
        ("/templates/index.html", &["X-Frame-Options: DENY", cache, "X-P: 1"][..]),
        ("/templates/index2.html", &["X-Frame-Options: SAMEORIGIN", cache]),
        ("/static-path", &[cache, "X-Thing: a"]),
        ("/static-path/x/y", &[cache, "X-Thing: a"]),
        ("/with-colon", &[cache, "Custom-header: http://www.example.com"]),
        ("/", &[cache]),
    ] {
        assert_eq!(fields(file, "example.org", path), expected, "{path}");
    }
    // Differences: several stars, and passwords, which are never sent.
    assert_eq!(HeaderRules::parse(b"/*/_next/*\n X: y").unwrap().mistakes.len(), 1);
    let parsed = HeaderRules::parse(b"/something/*\n  Basic-Auth: someuser:somepassword\n").unwrap();
    assert!(parsed.rules.changes(None, b"/something/x").has_password && parsed.mistakes[0].line == 2);
}

#[test]
fn headers_of_cloudflare_pages() {
    let file = "# This is a comment\n/secure/page\n  X-Frame-Options: DENY\n  X-Content-Type-Options: nosniff\n\
        \x20 Referrer-Policy: no-referrer\n\n/static/*\n  Access-Control-Allow-Origin: *\n  X-Robots-Tag: nosnippet\n\n\
        https://myproject.pages.dev/*\n  X-Robots-Tag: noindex\n";
    let secure = ["X-Frame-Options: DENY", "X-Content-Type-Options: nosniff", "Referrer-Policy: no-referrer"];
    for (host, path, expected) in [
        ("custom.domain", "/secure/page", secure.to_vec()),
        ("custom.domain", "/static/image.jpg", vec!["Access-Control-Allow-Origin: *", "X-Robots-Tag: nosnippet"]),
        ("myproject.pages.dev", "/home", vec!["X-Robots-Tag: noindex"]),
        ("myproject.pages.dev:1234", "/secure/page", [&secure[..], &["X-Robots-Tag: noindex"]].concat()),
        (
            "myproject.pages.dev",
            "/static/styles.css",
            vec!["Access-Control-Allow-Origin: *", "X-Robots-Tag: nosnippet, noindex"],
        ),
    ] {
        assert_eq!(fields(file, host, path), expected, "{host} {path}");
    }
    let detach = "/*\n  Content-Security-Policy: default-src 'self';\n\n/*.jpg\n  ! Content-Security-Policy\n";
    assert_eq!(fields(detach, "x", "/a"), ["Content-Security-Policy: default-src 'self';"]);
    assert!(fields(detach, "x", "/a/b.jpg").is_empty());
    let movie = "/movies/:title\n  x-movie-name: You are watching \":title\"\n";
    assert_eq!(fields(movie, "x", "/movies/up"), ["x-movie-name: You are watching \"up\""]);
    let project = "https://:project.pages.dev/*\n  Access-Control-Allow-Origin: https://staging.:project.pages.dev/\n";
    assert_eq!(fields(project, "a.pages.dev", "/x"), ["Access-Control-Allow-Origin: https://staging.a.pages.dev/"]);
    assert!(fields(project, "b.a.pages.dev", "/x").is_empty());
    let link = "/about/faq/*\n  Link: </about/faqs>; rel=\"canonical\"\n";
    assert_eq!(fields(link, "x", "/about/faq/1"), ["Link: </about/faqs>; rel=\"canonical\""]);
    let app = "/app/*\n  Permissions-Policy: document-domain=()\n  Content-Security-Policy: script-src 'self'; frame-ancestors 'none';\n";
    assert_eq!(fields(app, "x", "/app/y").len(), 2);
}
