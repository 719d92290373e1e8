use super::*;

/// Names from the output of generators with their defaults.
const HASHED: &[&str] = &[
    // Next.js, webpack and Turbopack
    "_next/static/chunks/app/layout-2c3a0e7f5b2e9d41.js",
    "_next/static/chunks/fd9d1056-6c5c8d9d3d9a3a12.js",
    "_next/static/chunks/pages/_app-7f1b1d6d5a4a6b3d.js",
    "_next/static/chunks/polyfills-42372ed130431b0a.js",
    "_next/static/chunks/8a2bd5b0b1f2c7a3.js",
    "_next/static/css/5c3c4b7e2a9d1f00.css",
    "_next/static/media/a34f9d1faa5f3315-s.p.woff2",
    "_next/static/media/logo.3f3a2b1c.svg",
    // Astro
    "_astro/hoisted.CTsyyMEd.js",
    "_astro/index.DcQ8kx3n.css",
    "_astro/page.B9OjRzVt.js",
    "_astro/photo.D4f0vQxy_Z1qYz3p.webp",
    // SvelteKit
    "_app/immutable/entry/start.BZ5vPpDV.js",
    "_app/immutable/chunks/D7Hy5aR1.js",
    "_app/immutable/nodes/0.DZq1abcd.js",
    "_app/immutable/assets/svelte-logo.Cw-kD_Qv.svg",
    // Nuxt
    "_nuxt/BEGk2T5n.js",
    "_nuxt/CHy_676k.js",
    "_nuxt/about.C_U6c06d.css",
    "_nuxt/otter.CA1qWq2I.svg",
    "_nuxt/entry.CJ9wYkLp.css",
    "_nuxt/error-404.DqPzWqLx.css",
    "_nuxt/entry.8b2a4d1f.js",
    // Vite, also with a base path
    "assets/index-n_ryQ3BS.css",
    "assets/react-CHdo91hT.svg",
    "app/assets/index-C5rS8dPq.js",
    "assets/index-3f2a1b4c.js",
    // VitePress
    "assets/app.Bx0i5KxK.js",
    "assets/chunks/framework.B8xQk0cP.js",
    "assets/guide_getting-started.md.CMJ9jMjd.lean.js",
    "assets/inter-roman-latin.Di8DUHzh.woff2",
    "assets/chunks/VPLocalSearchBox.cnWmeBZY.js",
    "assets/guide_food.md.DURPZ-8c.js",
    "assets/guide_food.md.DURPZ-8c.lean.js",
    // Docusaurus
    "assets/js/main.4a1b2c3d.js",
    "assets/js/935f2afb.8f2b1a3c.js",
    "assets/js/runtime~main.0a1b2c3d.js",
    "assets/css/styles.5a6b7c8d.css",
    "assets/images/docusaurus-plushie-banner-a60f7593abca1e3eef26a9afa244e4fb.jpeg",
    // Create React App (webpack)
    "static/js/main.3f2a1b4c.js",
    "static/js/787.1a2b3c4d.chunk.js",
    "static/media/logo.6ce24c58023cc2f8fd88fe9d219db6c6.svg",
    // Gatsby, Hugo, MkDocs Material, Angular, Parcel
    "component---src-pages-index-js-4e1a5c8b2f7d9e3a6b0c.js",
    "css/main.min.4bf92f3577b34da6a3ce929d0e0e47364bf92f3577b34da6a3ce929d0e0e4736.css",
    "assets/javascripts/bundle.fe8b6f2b.min.js",
    "assets/stylesheets/main.484c7ddc.min.css",
    "main-5CHPMI5V.js",
    "polyfills.b4e1a5c8d2f7c9e3.js",
    "index.5b1e8a32.css",
];

#[test]
fn names_that_generators_make() {
    for name in HASHED {
        assert!(is_hashed(name.as_bytes()), "{name}");
    }
}

#[test]
fn names_that_authors_give() {
    for name in [
        "report.20240115.pdf",
        "report-20240115.js",
        "page-settings.js",
        "assets/page-settings.js",
        "assets/page-Settings.js",
        "assets/toggle-DarkMode.js",
        "assets/toggle-DarkMode.svg",
        "assets/hero-iPhone15.png",
        "assets/hero-iPhone5s.png",
        "assets/stand-MacBook3.jpg",
        "assets/photo-Sydney24.jpg",
        "assets/menu-cafe2024.pdf",
        "assets/news-4feb2024.jpg",
        "assets/news.2024dec1.css",
        "assets/portrait-Anderson.jpg",
        "assets/jquery-fonts.js",
        "assets/main-Carousel.js",
        "assets/util.isRegExp.js",
        "assets/list-toDoList.js",
        "assets/list.toDoList.js",
        "assets/list.md-toDoList.js",
        "assets/notes.md.settings.js",
        "assets/notes.md.toDoList.txt",
        "assets/chunks/list.settings.js",
        "assets/chunks/list.Carousel.js",
        "assets/chunks/list-toDoList.js",
        "assets/pdf.goToPage.js",
        "assets/lib-Base64Js.js",
        "assets/net-ipv6Only.js",
        "assets/figure-Ch1Sec2a.png",
        "assets/cmaps/Adobe-Japan1-0.bcmap",
        "js/util.isRegExp.js",
        "js/net-ipv6Only.js",
        "assets/logo-eBayLogo.svg",
        "assets/550e8400e29b41d4a716446655440000.png",
        "assets/photo-01234567.jpg",
        "avatars/user-550e8400e29b41d4a716446655440000.png",
        "invoice-4a1b2c3d.pdf",
        "js/lib-html5api.js",
        "js/jquery-3.7.1.min.js",
        "js/bootstrap.bundle.min.js",
        "js/chunk-abcdefab.js",
        "js/deadbeef.js",
        "js/4a1b2c3d.js",
        "main-STYLES24.css",
        "index-DiwrgTda.js",
        // Not made for one version of the content.
        "_next/static/chunks/settings.js",
        "_next/static/Vd7Z1tQx9m2F4mIvPW1p8/_buildManifest.js",
        "_nuxt/builds/latest.json",
        "_nuxt/builds/meta/0b1c2d3e-4f5a-6b7c-8d9e-0f1a2b3c4d5e.json",
        "_nuxt/Settings.js",
        "_app/version.json",
        "_app/env.js",
        "_astro/index.DcQ8kx3n.html",
        "page-4a1b2c3d4e5f6a7b8c9d.html",
        "assets/app.Bx0i5KxK.js.br",
        "my_assets/index-C5rS8dPQ.png",
        "",
        ".js",
        "assets/",
        "assets/.4a1b2c3d.js",
        "assets/x.é1b2c3d.js",
    ] {
        assert!(!is_hashed(name.as_bytes()), "{name}");
    }
    assert!(!is_hashed(b"assets/\xff-4a1b2c3d.js"));
}

/// The directory makes a hash without a digit safe, or not.
#[test]
fn a_hash_without_a_digit_counts_only_in_the_directory_of_a_generator() {
    for (name, is_one) in [
        ("_astro/index.DiwrgTda.js", true),
        ("_nuxt/DiwrgTda.js", true),
        ("assets/index-DiwrgTda.js", true),
        ("assets/index-DTaboeZW.js", false),
        ("assets/index-BxQkTdWa.js", true),
        ("index-BxQkTdWa.js", false),
    ] {
        assert_eq!(is_hashed(name.as_bytes()), is_one, "{name}");
    }
}

/// The shares that the manual gives, of random hashes. Three of four that Rollup makes begin with B, C or D.
#[test]
fn the_share_of_hashes_that_count() {
    const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut state = 1u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as usize
    };
    for (begin, extension, alphabet, is_rollup, least, most) in [
        ("_astro/index.", "js", &BASE64[..], true, 990, 1000),
        ("assets/index-", "js", &BASE64[..], true, 800, 840),
        ("assets/index-", "png", &BASE64[..], true, 800, 840),
        ("assets/index-", "js", &BASE64[..], false, 650, 690),
        ("assets/index-", "png", &HEX[..], false, 880, 930),
        ("main.", "js", &HEX[..], false, 880, 930),
    ] {
        let mut count = 0;
        for _ in 0..10_000 {
            let mut hash: Vec<_> = (0..SHORT).map(|_| alphabet[random() % alphabet.len()]).collect();
            if is_rollup && random() % 4 > 0 {
                hash[0] = b"BCD"[random() % 3];
            }
            let hash = String::from_utf8(hash).unwrap();
            count += usize::from(is_hashed(format!("{begin}{hash}.{extension}").as_bytes()));
        }
        let share = count / 10;
        assert!((least..=most).contains(&share), "{begin}*.{extension}: {share} of 1000");
    }
}
