use super::*;

const FRONT: Peer = Peer::at(Some(SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1)), 1)));

/// A header of version 2: command, family and protocol, and everything after the length.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = v2::PROTOCOL_PREFIX.to_vec();
    header.extend([command, family]);
    header.extend((rest.len() as u16).to_be_bytes());
    header.extend(rest);
    header
}

/// The addresses of a client at 192.0.2.7, port 4711, and of a proxy.
const V4: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 18, 103, 0, 80];

fn v6() -> Vec<u8> {
    let [source, destination]: [std::net::Ipv6Addr; 2] =
        ["2001:db8::7", "2001:db8::1"].map(|address| address.parse().unwrap());
    [&source.octets()[..], &destination.octets(), &[18, 103, 0, 80]].concat()
}

fn value(kind: u8, bytes: &[u8]) -> Vec<u8> {
    [&[kind][..], &(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

/// A header with a checksum after `rest`, in which `wrong` bits are inverted.
fn with_checksum(command: u8, family: u8, rest: &[u8], wrong: u32) -> Vec<u8> {
    let mut header = v2(command, family, &[rest, &value(3, &[0; 4])].concat());
    // Castagnoli's polynomial, bit by bit.
    let mut sum = u32::MAX;
    for byte in &header {
        sum ^= u32::from(*byte);
        (0..8).for_each(|_| sum = sum >> 1 ^ if sum & 1 == 1 { 0x82F6_3B78 } else { 0 });
    }
    let at = header.len() - 4;
    header[at..].copy_from_slice(&(!sum ^ wrong).to_be_bytes());
    header
}

/// Checks the result for a header, alone and followed by a request, and that every part of it is incomplete.
#[track_caller]
fn check(header: &[u8], expected: Result<(Option<&str>, bool, &str), Rejection>) {
    let followed = [header, b"\r\nGET / HTTP/1.1\r\n\n\0"].concat();
    let expected = match &expected {
        Ok((address, has_tls, authority)) => Parsed::Done {
            consumed: header.len(),
            peer: Peer { has_tls: *has_tls, ..Peer::at(address.map(|address| address.parse().unwrap())) },
            authority: authority.as_bytes(),
        },
        Err(rejection) => Parsed::Rejected(*rejection),
    };
    assert_eq!(parse(header, FRONT), expected, "{header:?}");
    assert_eq!(parse(&followed, FRONT), expected, "{header:?}, followed");
    for length in 0..header.len() {
        let part = parse(&header[..length], FRONT);
        let is_expected = part == Parsed::NeedMore || (part == expected && matches!(part, Parsed::Rejected(_)));
        assert!(is_expected, "{length} bytes of {header:?}: {part:?}");
    }
}

#[test]
fn version_1_names_the_client() {
    let front = Ok((Some("198.51.100.1:1"), false, ""));
    for (line, expected) in [
        ("PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n", Ok((Some("192.0.2.7:4711"), false, ""))),
        ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", Ok((Some("255.255.255.255:65535"), false, ""))),
        ("PROXY TCP6 2001:db8::7 ::1 4711 80\r\n", Ok((Some("[2001:db8::7]:4711"), false, ""))),
        ("PROXY UNKNOWN\r\n", front),
        ("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", front),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\n", Err(Rejection::Malformed)),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n", Err(Rejection::Malformed)),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 4711 80 \r\n", Err(Rejection::Malformed)),
        ("PROXY TCP4  192.0.2.7 198.51.100.1 4711 80\r\n", Err(Rejection::Malformed)),
        ("PROXY TCP4 192.0.2.07 198.51.100.1 4711 80\r\n", Err(Rejection::Malformed)),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 04711 80\r\n", Err(Rejection::Malformed)),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 65536 80\r\n", Err(Rejection::Malformed)),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 -1 80\r\n", Err(Rejection::Malformed)),
        ("PROXY TCP4 2001:db8::7 ::1 4711 80\r\n", Err(Rejection::Malformed)),
        ("PROXY TCP6 192.0.2.7 198.51.100.1 4711 80\r\n", Err(Rejection::Malformed)),
        ("PROXY TCP5 192.0.2.7 198.51.100.1 4711 80\r\n", Err(Rejection::Malformed)),
        ("PROXY\r\n", Err(Rejection::Malformed)),
        ("PROXY UNKNOWN\rGET\r\n", Err(Rejection::Malformed)),
        ("POST / HTTP/1.1\r\n", Err(Rejection::Malformed)),
        ("proxy TCP4 192.0.2.7 198.51.100.1 4711 80\r\n", Err(Rejection::Malformed)),
        ("GET / HTTP/1.1\r\n", Err(Rejection::Malformed)),
        ("\x16\x03\x01", Err(Rejection::Malformed)),
    ] {
        check(line.as_bytes(), expected);
    }
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_V1_BYTES - 16));
    check(longest.as_bytes(), front);
    check(longest.replacen('x', "xx", 1).as_bytes(), Err(Rejection::TooLong));
}

#[test]
fn version_2_names_the_client() {
    let (front, client) = (Ok((Some("198.51.100.1:1"), false, "")), Ok((Some("192.0.2.7:4711"), false, "")));
    for (command, family, rest, expected) in [
        (0x21, 0x11, V4.to_vec(), client),
        (0x21, 0x21, v6(), Ok((Some("[2001:db8::7]:4711"), false, ""))),
        // LOCAL, UNSPEC, a datagram: the address of the connection.
        (0x20, 0x00, vec![], front),
        (0x20, 0x11, V4.to_vec(), front),
        (0x20, 0x11, vec![1], front),
        (0x20, 0x99, vec![1, 2, 3], front),
        (0x21, 0x00, vec![], front),
        (0x21, 0x00, vec![9; 40], front),
        (0x21, 0x12, V4.to_vec(), front),
        // A client of a unix socket has none.
        (0x21, 0x31, vec![0; 216], Ok((None, false, ""))),
        (0x21, 0x11, V4[..11].to_vec(), Err(Rejection::Malformed)),
        (0x21, 0x21, V4.to_vec(), Err(Rejection::Malformed)),
        (0x21, 0x31, vec![0; 215], Err(Rejection::Malformed)),
        (0x21, 0x41, V4.to_vec(), Err(Rejection::Malformed)),
        (0x21, 0x13, V4.to_vec(), Err(Rejection::Malformed)),
        (0x22, 0x11, V4.to_vec(), Err(Rejection::Command)),
        (0x11, 0x11, V4.to_vec(), Err(Rejection::Malformed)),
    ] {
        check(&v2(command, family, &rest), expected);
    }
    let longest = [&V4[..], &value(4, &vec![0; MAX_V2_BYTES - 16 - 12 - 3])].concat();
    check(&v2(0x21, 0x11, &longest), client);
    check(&v2(0x21, 0x11, &[&longest[..], &[0]].concat())[..16], Err(Rejection::TooLong));
    check(&v2(0x20, 0x00, &[0; u16::MAX as usize])[..16], Err(Rejection::TooLong));
}

#[test]
fn values_of_version_2_say_more_about_the_client() {
    let (plain, tls) = (Ok((Some("192.0.2.7:4711"), false, "")), Ok((Some("192.0.2.7:4711"), true, "")));
    let version = value(0x21, b"TLSv1.3");
    for (values, expected) in [
        (value(0x20, &[&[1, 0, 0, 0, 1][..], &version].concat()), tls),
        (value(0x20, &[7, 0, 0, 0, 0]), tls),
        (value(0x20, &[6, 0, 0, 0, 0]), plain),
        (value(0x20, &[1, 0, 0, 0]), Err(Rejection::Malformed)),
        (value(0x02, b"example.org"), Ok((Some("192.0.2.7:4711"), false, "example.org"))),
        (value(0x02, b""), plain),
        // ALPN, padding, a unique number, a name space, and some that nobody knows are skipped.
        (
            [&value(1, b"h2")[..], &value(4, &[]), &value(5, b"x"), &value(0x30, b"n"), &value(0xEA, b"vpce")].concat(),
            plain,
        ),
        ([&value(0xE0, &[0; 300])[..], &value(0x20, &[1, 0, 0, 0, 0])].concat(), tls),
        (vec![1], Err(Rejection::Malformed)),
        (vec![1, 0], Err(Rejection::Malformed)),
        (vec![1, 0, 2, 0], Err(Rejection::Malformed)),
        (value(3, &[0; 3]), Err(Rejection::Malformed)),
    ] {
        check(&v2(0x21, 0x11, &[&V4[..], &values].concat()), expected);
    }
    // HAProxy sends them for its own connections, and for those from a unix socket.
    let values = [value(0x20, &[1, 0, 0, 0, 0]), value(2, b"h")].concat();
    check(&v2(0x21, 0x00, &values), Ok((Some("198.51.100.1:1"), true, "h")));
}

#[test]
fn a_wrong_checksum_is_rejected() {
    let values = [&V4[..], &value(2, b"example.org")].concat();
    let client = Ok((Some("192.0.2.7:4711"), false, "example.org"));
    check(&with_checksum(0x21, 0x11, &values, 0), client);
    for wrong in [1, 1 << 31, u32::MAX] {
        check(&with_checksum(0x21, 0x11, &values, wrong), Err(Rejection::Checksum));
        check(&with_checksum(0x20, 0x00, &[], wrong), Err(Rejection::Checksum));
    }
    check(&with_checksum(0x20, 0x00, &[], 0), Ok((Some("198.51.100.1:1"), false, "")));
    // Every other change of a header with a checksum is found, or is one of its form.
    let sound = with_checksum(0x21, 0x11, &values, 0);
    for bit in 0..sound.len() * 8 {
        let mut changed = sound.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let parsed = parse(&changed, FRONT);
        // The type of the checksum is a bit away from others, which are skipped; and UNSPEC skips what has no form.
        let is_other_kind = bit / 8 == sound.len() - 7 || changed[13] & 0xF0 == 0;
        assert!(is_other_kind || matches!(parsed, Parsed::NeedMore | Parsed::Rejected(_)), "bit {bit}: {parsed:?}");
    }
}
