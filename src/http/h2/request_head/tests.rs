use super::*;

const GET: [(&str, &str); 4] = [(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", "/x?y")];

/// What becomes of a request with these lines, in words.
fn outcome(lines: &[(&str, &str)]) -> String {
    let (limits, mut head, mut storage) = (Limits::default(), RequestHead::default(), Vec::new());
    // What was there before is forgotten.
    let _ = head.add(b"x", b"\0", &limits);
    head.clear();
    for (name, value) in lines {
        if head.add(name.as_bytes(), value.as_bytes(), &limits).is_break() {
            return "attack".into();
        }
    }
    head.check(Scheme::Https, &limits);
    match head.request(Body::Dropped, &mut storage) {
        Ok(request) => {
            let Request { method_name, target, authority, fields, .. } = request;
            format!("{method_name} {target} {} {}", authority.unwrap().as_str(), fields.0.len())
        }
        Err(BadRequest::Malformed(_)) => "malformed".into(),
        Err(BadRequest::Refused(refusal)) => refusal.status().code().to_string(),
    }
}

/// The lines of a GET, of which those with the names of `changes` are other ones. A change without a value removes a line.
fn changed(changes: &[(&str, Option<&str>)]) -> String {
    let is_changed = |name: &str| changes.iter().any(|(changed, _)| *changed == name);
    let mut lines: Vec<_> = GET.into_iter().filter(|(name, _)| !is_changed(name)).collect();
    let added = changes.iter().filter_map(|(name, value)| value.map(|value| (*name, value)));
    let (pseudo, fields): (Vec<_>, Vec<_>) = added.partition(|(name, _)| name.starts_with(':'));
    lines.extend(pseudo);
    lines.extend(fields);
    outcome(&lines)
}

#[test]
fn requests_are_what_was_sent() {
    assert_eq!(outcome(&GET), "GET /x?y a.test 0");
    assert_eq!(
        changed(&[("accept", Some("*/*")), ("te", Some("trailers")), ("cookie", Some(""))]),
        "GET /x?y a.test 3"
    );
    assert_eq!(changed(&[(":method", Some("HEAD"))]), "HEAD /x?y a.test 0");
    assert_eq!(changed(&[(":method", Some("OPTIONS")), (":path", Some("*"))]), "OPTIONS * a.test 0");
    assert_eq!(changed(&[(":authority", None), ("host", Some("b.test"))]), "GET /x?y b.test 1");
    assert_eq!(changed(&[("host", Some("A.test"))]), "GET /x?y a.test 1");
    assert_eq!(changed(&[("content-length", Some("5")), ("x", Some("a\tb \u{e9}"))]), "GET /x?y a.test 2");
    let connect = [(":method", "CONNECT"), (":authority", "a.test:443")];
    assert_eq!(outcome(&connect), "CONNECT a.test:443 a.test:443 0");
}

#[test]
fn malformed_requests() {
    for changes in [
        &[("Accept", Some("a"))][..],
        &[("", Some("a"))],
        &[("a b", Some("a"))],
        &[("a:b", Some("a"))],
        &[("\u{e9}", Some("a"))],
        &[("x", Some("a\0"))],
        &[("x", Some("a\r\nb: c"))],
        &[("x", Some("a\n"))],
        &[("x", Some(" a"))],
        &[("x", Some("a\t"))],
        &[(":path", Some("/ "))],
        &[(":unknown", Some("a"))],
        &[(":status", Some("200"))],
        &[(":method", None)],
        &[(":method", Some(""))],
        &[(":method", Some("G T"))],
        &[(":scheme", None)],
        &[(":scheme", Some("http"))],
        &[(":scheme", Some("ftp"))],
        &[(":path", None)],
        &[(":path", Some(""))],
        &[(":path", Some("x"))],
        &[(":path", Some("*"))],
        &[(":path", Some("https://a.test/"))],
        &[(":authority", None)],
        &[("host", Some("b.test"))],
        &[("host", Some("a.test")), ("host", Some("a.test"))],
        &[("connection", Some("close"))],
        &[("keep-alive", Some("1"))],
        &[("proxy-connection", Some("close"))],
        &[("transfer-encoding", Some("chunked"))],
        &[("upgrade", Some("h2c"))],
        &[("te", Some("gzip"))],
        &[("content-length", Some("x"))],
        &[("content-length", Some("+1"))],
        &[("content-length", Some("1")), ("content-length", Some("2"))],
        &[(":method", Some("CONNECT"))],
    ] {
        assert_eq!(changed(changes), "malformed", "{changes:?}");
    }
    for (name, value) in GET {
        assert_eq!(outcome(&[&GET[..], &[(name, value)]].concat()), "malformed", "{name} twice");
        let mut late: Vec<_> = GET.into_iter().filter(|(other, _)| *other != name).collect();
        late.extend([("accept", "a"), (name, value)]);
        assert_eq!(outcome(&late), "malformed", "{name} after a field");
    }
}

#[test]
fn refused_requests() {
    let long = "x".repeat(9_000);
    for (name, value, status) in [
        ("x", "a\u{1}b", "400"),
        (":authority", "a b", "400"),
        (":authority", "user@a.test", "400"),
        (":authority", "", "400"),
        (":path", "/a b", "400"),
        (":path", "/a\u{7f}b", "400"),
        (":path", &format!("/{long}"), "414"),
        (":method", &long, "501"),
        ("x", &long.repeat(2), "431"),
    ] {
        assert_eq!(changed(&[(name, Some(value))]), status, "{name}");
    }
    let many = |count| outcome(&[&GET[..], &vec![("x", "y"); count]].concat());
    assert_eq!(many(100), "GET /x?y a.test 100");
    assert_eq!((many(101), many(400), many(2_000)), ("431".into(), "431".into(), "attack".into()));
}
