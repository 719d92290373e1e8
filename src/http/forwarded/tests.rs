use httparse::Header;

use super::*;

/// The trusted proxies of the tests: 10.0.0.0/8, and 2001:db8:f::/48.
fn is_trusted(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[0] == 10,
        IpAddr::V6(address) => address.segments()[..3] == [0x2001, 0xdb8, 0xf],
    }
}

fn lines(head: &str) -> Vec<Header<'_>> {
    let pairs = head.lines().map(|line| line.split_once(": ").unwrap());
    pairs.map(|(name, value)| Header { name, value: value.as_bytes() }).collect()
}

#[track_caller]
fn check(field: &AddressField, head: &str, client: Option<&str>, scheme: Option<Scheme>) {
    let lines = lines(head);
    let forwarded = field.read(Fields(&lines), is_trusted);
    let expected = client.map(|client| client.parse().unwrap_or_else(|_| SocketAddr::new(client.parse().unwrap(), 0)));
    assert_eq!((forwarded.client, forwarded.scheme), (expected, scheme), "{head}");
}

/// Whatever a client sends stays to the left of what the proxies have appended, and is never reached.
#[test]
fn a_client_chooses_neither_its_address_nor_its_scheme() {
    let real = "192.0.2.7";
    for sent in [
        "10.0.0.9",
        "127.0.0.1",
        "::1",
        "198.51.100.1, 10.0.0.9",
        "10.0.0.9, 10.0.0.8, 10.0.0.7",
        "unknown",
        "\"",
        "\", 10.0.0.9",
        "\\",
        "10.0.0.9\\",
        "for=10.0.0.9",
        ",,,",
        "",
        "\u{e4}",
        "10.0.0.9;",
    ] {
        let name = "X-Forwarded-For: ";
        for (between, after) in [
            (", ", ""),
            (",", ""),
            (&format!("\n{name}"), ""),
            (", ", ", 10.0.0.1"),
            (" ,", " , 10.0.0.2,10.0.0.1"),
            (", ", &format!("\n{name}10.0.0.2\n{name}10.0.0.1")),
        ] {
            let head = format!("{name}{sent}{between}{real}{after}\nForwarded: for=198.51.100.9;proto=https");
            check(&AddressField::Either, &head, Some(real), None);
            let head = head.replace("X-Forwarded-For", "x-real-ip");
            check(&AddressField::Named("X-Real-IP".into()), &head, Some(real), None);
        }
        for (sent, between) in
            [(sent.to_string(), "\nForwarded: "), (format!("for={sent}"), ", "), (format!("for=\"{sent}"), ", ")]
        {
            let appended = format!("for={real};proto=http, for=\"10.0.0.1:80\";proto=https");
            let head = format!("Forwarded: {sent};proto=https{between}{appended}");
            check(&AddressField::Either, &head, Some(real), Some(Scheme::Http));
            let head = format!("X-Forwarded-For: 198.51.100.9\nX-Forwarded-Proto: https\n{head}");
            check(&AddressField::Forwarded, &head, Some(real), Some(Scheme::Http));
        }
    }
}

#[test]
fn a_bad_element_ends_the_walk_at_the_last_hop_that_was_believed() {
    for bad in [
        "unknown",
        "_hidden",
        "192.0.2",
        "192.0.2.7.8",
        "1921",
        "192.0.2.256",
        "[::1",
        "::1]",
        "[192.0.2.7]",
        "192.0.2.7:",
        "192.0.2.7:x",
        "192.0.2.7:65536",
        "192.0.2.7:+1",
        "fe80::1%1",
        "[fe80::1%1]:80",
        "example.org",
        "\"192.0.2.7\"",
        "192.0.2.7 192.0.2.8",
    ] {
        check(&AddressField::Either, &format!("X-Forwarded-For: 198.51.100.1, {bad}"), None, None);
        let head = format!("X-Forwarded-For: 198.51.100.1, {bad}, 10.0.0.1");
        check(&AddressField::Either, &head, Some("10.0.0.1"), None);
    }
    for bad in [
        "for",
        "for=",
        "=192.0.2.7",
        "for=192.0.2.7;for=192.0.2.8",
        "for=\"192.0.2.7",
        "for=\"192.0.2.7\"x",
        "for=\"192\\.0.2.7\"",
        "for=2001:db8::7",
        "for =192.0.2.7",
        "for= 192.0.2.7",
        ";",
        "for=192.0.2.7;",
        "192.0.2.7",
    ] {
        check(&AddressField::Either, &format!("Forwarded: for=198.51.100.1, {bad}"), None, None);
        let head = format!("Forwarded: for=198.51.100.1, {bad}, for=10.0.0.1;proto=https");
        check(&AddressField::Either, &head, Some("10.0.0.1"), Some(Scheme::Https));
    }
    // The scheme of a client with an obfuscated address is known: otherwise a redirect to HTTPS would not end.
    for hidden in ["_hidden", "unknown", "\"_hidden:80\""] {
        let head = format!("Forwarded: for=198.51.100.1, for={hidden};proto=https");
        check(&AddressField::Either, &head, None, Some(Scheme::Https));
    }
}

#[test]
fn addresses_have_many_forms() {
    for (element, expected) in [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7:4711", "192.0.2.7:4711"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:4711", "[2001:db8::7]:4711"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("[::ffff:192.0.2.7]:4711", "192.0.2.7:4711"),
        ("::ffff:c000:207", "192.0.2.7"),
    ] {
        check(&AddressField::Either, &format!("X-Forwarded-For: {element}"), Some(expected), None);
        let head = format!("Forwarded: by=x;FOR=\"{element}\" ; ext=\"a,b;c\"");
        check(&AddressField::Either, &head, Some(expected), None);
    }
    // A trusted address in the form of IPv6 is trusted.
    check(&AddressField::Either, "X-Forwarded-For: 192.0.2.7, ::ffff:10.0.0.1", Some("192.0.2.7"), None);
    check(&AddressField::Either, "X-Forwarded-For: 192.0.2.7, 2001:db8:f::1", Some("192.0.2.7"), None);
    // All are trusted: the first one.
    check(&AddressField::Either, "X-Forwarded-For: 10.0.0.2, 10.0.0.1", Some("10.0.0.2"), None);
}

#[test]
fn the_scheme_is_that_of_the_hop_that_was_believed() {
    let (http, https) = (Some(Scheme::Http), Some(Scheme::Https));
    for (head, client, scheme) in [
        ("X-Forwarded-For: 192.0.2.7\nX-Forwarded-Proto: https", "192.0.2.7", https),
        ("X-Forwarded-For: 192.0.2.7\nX-Forwarded-Proto: HTTP", "192.0.2.7", http),
        ("X-Forwarded-For: 192.0.2.7\nX-Forwarded-Proto: ftp", "192.0.2.7", None),
        // The client has sent one.
        ("X-Forwarded-For: 192.0.2.7\nX-Forwarded-Proto: https, http", "192.0.2.7", http),
        ("X-Forwarded-For: 192.0.2.7\nX-Forwarded-Proto: https\nX-Forwarded-Proto: http", "192.0.2.7", http),
        // A CDN with TLS, and a proxy behind it without.
        ("X-Forwarded-For: 192.0.2.7, 10.0.0.1\nX-Forwarded-Proto: https, http", "192.0.2.7", https),
        ("X-Forwarded-For: 192.0.2.7, 10.0.0.1\nX-Forwarded-Proto: http, https, http", "192.0.2.7", https),
        ("X-Forwarded-For: 192.0.2.7, 10.0.0.1\nX-Forwarded-Proto: https", "192.0.2.7", https),
        ("Forwarded: for=192.0.2.7;proto=https, for=10.0.0.1;proto=http", "192.0.2.7", https),
        ("Forwarded: for=192.0.2.7, for=10.0.0.1;proto=https", "192.0.2.7", None),
        ("Forwarded: proto=https, for=192.0.2.7;proto=http", "192.0.2.7", http),
    ] {
        check(&AddressField::Either, head, Some(client), scheme);
    }
    check(&AddressField::Either, "X-Forwarded-Proto: https", None, https);
    check(&AddressField::Either, "X-Forwarded-For: unknown\nX-Forwarded-Proto: http, https", None, https);
    check(&AddressField::Forwarded, "X-Forwarded-Proto: https", None, None);
    let cdn = AddressField::parse("CF-Connecting-IP").unwrap();
    let head = "CF-Connecting-IP: 192.0.2.7\nX-Forwarded-For: 10.0.0.9\nX-Forwarded-Proto: https";
    check(&cdn, head, Some("192.0.2.7"), https);
    check(&cdn, "X-Forwarded-For: 10.0.0.9\nForwarded: for=10.0.0.8", None, None);
}

#[test]
fn the_host_is_that_of_the_same_hop() {
    let two = "X-Forwarded-For: 192.0.2.7, 10.0.0.1\nX-Forwarded-Host: evil.example, a.example, b.example";
    for (head, host) in [
        ("X-Forwarded-For: 192.0.2.7\nX-Forwarded-Host: evil.example, a.example", Some("a.example")),
        (two, Some("a.example")),
        ("Forwarded: host=evil.example, for=192.0.2.7;host=\"a.example:80\"", Some("a.example:80")),
        ("Forwarded: for=192.0.2.7\nX-Forwarded-Host: evil.example", None),
    ] {
        let lines = lines(head);
        let forwarded = AddressField::Either.read(Fields(&lines), is_trusted);
        assert_eq!(forwarded.host.map(|host| str::from_utf8(host).unwrap()), host, "{head}");
    }
}

#[test]
fn any_name_of_a_field_can_be_chosen() {
    assert_eq!(AddressField::parse("forwarded"), Ok(AddressField::Forwarded));
    assert_eq!(AddressField::parse("X-Real-IP"), Ok(AddressField::Named("X-Real-IP".into())));
    for wrong in ["", "X Real IP", "X-Real-IP:", "\u{e4}"] {
        assert!(AddressField::parse(wrong).is_err(), "{wrong}");
    }
}
