use super::*;

/// Lines that htpasswd(1), argon2(1) and crypt_blowfish have written.
const HASHES: [(&str, &str); 11] = [
    ("$2y$04$USfggzn/x9E.IFZn7IvGJ.XL3oGUB8tcwXxh2glNuFiohlFkaAcNG", "p\u{e4}ssword"),
    ("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"),
    ("$2b$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a", "U*U*U"),
    ("$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQxMjM0NTY3OA$zXm9T9nrUoR20mwpH6kHgUfuJyWjdUFV5c94Y33b1Ug", "p\u{e4}ssword"),
    (
        "$argon2id$v=19$m=65536,t=2,p=4$c29tZXNhbHQxMjM0NTY3OA$DajiKyY/5YCFAlbJpNcp4SViqNPsorWgrlmU+c2HK/A",
        "p\u{e4}ssword",
    ),
    (
        "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
        "Hello world!",
    ),
    (
        "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
        "Hello world!",
    ),
    ("$6$NaMJgmkNtmVO6FGO$eph0iFplFGMqryqwr5MCGHxIdSe0Mcfq2fL8bDZSATIGQfCej4TG2c/tKB81og9qcWxVSG2PL3fIp/IAQexLQ0", "p"),
    ("$6$abcdefgh$3rj1vTLX64btReFsM4MQ22otcD40l7vbtw7qCyr0dxc4kxNmgx53xVM8gWiLYbCqTHTbXFaVFU7ZT28pnvdyu0", "test"),
    ("$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "Hello world!"),
    ("$5$rdH6C7PuMeXPYcFE$W1CqEmgd.F0/cXhpsrO3bNoETZP/Y.vx2Ze6NulE6o9", "p"),
];

#[test]
fn hashes_match_their_passwords_alone() {
    for (text, password) in HASHES {
        let hash = Hash::parse(text).unwrap();
        assert!(hash.matches(password.as_bytes()), "{text}");
        for wrong in ["", "x", &password[1..], &format!("{password} "), text] {
            assert!(!hash.matches(wrong.as_bytes()), "{text} {wrong}");
        }
    }
}

#[test]
fn a_password_that_bcrypt_would_cut_does_not_match() {
    let hash = Hash::parse("$2y$05$6BNZ719RACx03usGPMx0k.kxNQcDlk/klrj7xY4QfsfjtMKj84BQi").unwrap();
    assert!(hash.matches(&[b'a'; 72]));
    for length in [71, 73, 74, 144, 1024] {
        assert!(!hash.matches(&vec![b'a'; length]), "{length}");
    }
    let known = "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui";
    let password =
        b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are ignored";
    assert!(!Hash::parse(known).unwrap().matches(password));
    assert!(Hash::parse(known).unwrap().matches(&password[..72]));
}

#[test]
fn other_hashes_are_refused_with_the_reason() {
    let salt_and_hash = "USfggzn/x9E.IFZn7IvGJ.XL3oGUB8tcwXxh2glNuFiohlFkaAcNG";
    let bcrypt = |cost: &str| format!("$2y${cost}${salt_and_hash}");
    let argon2 = |kind: &str, m: u32, t: u32, p: u32| {
        format!("${kind}$v=19$m={m},t={t},p={p}$c29tZXNhbHQxMjM0NTY3OA$zXm9T9nrUoR20mwpH6kHgUfuJyWjdUFV5c94Y33b1Ug")
    };
    let sha = |rounds: &str| format!("$5${rounds}saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5");
    for (text, why) in [
        ("$apr1$mcSpVPvu$6p0SSdQW8PUPmIy8xs9kp.".to_string(), "hashed by MD5"),
        ("$1$mcSpVPvu$6p0SSdQW8PUPmIy8xs9kp.".into(), "hashed by MD5"),
        ("{SHA}UWuXg/ylF+7L0dBk2i0WUxCxl1k=".into(), "not hashed by bcrypt"),
        ("/yo7bs49PuOQE".into(), "not hashed by bcrypt"),
        ("password".into(), "not hashed by bcrypt"),
        ("".into(), "not hashed by bcrypt"),
        ("$y$j9T$abc$def".into(), "not supported"),
        (format!("$2x$04${salt_and_hash}"), "not supported"),
        (argon2("argon2i", 64, 1, 1), "only argon2id"),
        (argon2("argon2d", 64, 1, 1), "only argon2id"),
        (bcrypt("03"), "cost of bcrypt is 3"),
        (bcrypt("15"), "cost of bcrypt is 15"),
        (bcrypt("31"), "cost of bcrypt is 31"),
        (bcrypt("04") + "x", "not complete"),
        (bcrypt("xx"), "not complete"),
        (argon2("argon2id", 65_537, 1, 1), "m=65537"),
        (argon2("argon2id", 64, 17, 1), "t=17"),
        (argon2("argon2id", 1024, 1, 17), "p=17"),
        ("$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQxMjM0NTY3OA".into(), "not complete"),
        (
            "$argon2id$v=18$m=64,t=1,p=1$c29tZXNhbHQxMjM0NTY3OA$zXm9T9nrUoR20mwpH6kHgUfuJyWjdUFV5c94Y33b1Ug".into(),
            "not complete",
        ),
        (sha("rounds=999$"), "999 rounds"),
        (sha("rounds=1000001$"), "1000001 rounds"),
        (sha("rounds=x$"), "not complete"),
        (sha("rounds=5000$rounds=6000$"), "not complete"),
        ("$6$salt$short".into(), "not complete"),
        ("$5$".into(), "not complete"),
    ] {
        let refused = Hash::parse(&text).unwrap_err();
        assert!(refused.contains(why), "{text}: {refused}");
    }
    for text in [bcrypt("14"), argon2("argon2id", 65_536, 16, 16), sha("rounds=1000000$"), sha("")] {
        assert!(Hash::parse(&text).is_ok(), "{text}");
    }
}

#[test]
fn costs_can_be_compared() {
    let cost = |text: &str| Hash::parse(text).unwrap().cost_us();
    let bcrypt = |cost: u32| format!("$2y${cost:02}$USfggzn/x9E.IFZn7IvGJ.XL3oGUB8tcwXxh2glNuFiohlFkaAcNG");
    assert_eq!(cost(&bcrypt(10)), 2 * cost(&bcrypt(9)));
    assert!(cost(&bcrypt(10)) > cost(HASHES[9].0) && cost(HASHES[4].0) > cost(&bcrypt(10)));
}
