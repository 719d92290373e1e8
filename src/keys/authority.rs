//! A certificate authority for tests.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// The arguments for types of keys.
pub const P256: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
pub const P384: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"];
pub const P521: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-521"];
pub const RSA: &[&str] = &["rsa:2048"];
pub const ED25519: &[&str] = &["ed25519"];

/// An authority with an intermediate certificate.
pub struct Authority(TempDir);

/// A chain and a key in PEM.
pub struct Issued {
    pub leaf: String,
    pub intermediate: String,
    pub root: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        Authority::with_root(&[])
    }

    /// Creates an authority whose root is made with further arguments of `openssl req`.
    pub fn with_root(options: &[&str]) -> Self {
        let authority = Authority(tempfile::tempdir().unwrap());
        let arguments = [
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-config",
            "/dev/null",
            "-keyout",
            "root.key",
            "-out",
            "root.pem",
            "-days",
            "3650",
            "-subj",
            "/CN=Test Root",
        ];
        authority.openssl(&[&arguments[..], options].concat());
        authority.request("intermediate", P256, "Test Intermediate");
        authority.sign("intermediate", "root", "basicConstraints=critical,CA:TRUE", &[]);
        authority
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl").args(arguments).current_dir(&self.0).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    fn request(&self, name: &str, key_type: &[&str], subject: &str) {
        let (key, csr, subject) = (format!("{name}.key"), format!("{name}.csr"), format!("/CN={subject}"));
        let arguments =
            ["req", "-config", "/dev/null", "-nodes", "-subj", &subject, "-keyout", &key, "-out", &csr, "-newkey"];
        self.openssl(&[&arguments[..], key_type].concat());
    }

    fn sign(&self, name: &str, issuer: &str, extensions: &str, options: &[&str]) {
        fs::write(self.0.path().join("extensions"), extensions).unwrap();
        let [csr, pem, ca, key] =
            [format!("{name}.csr"), format!("{name}.pem"), format!("{issuer}.pem"), format!("{issuer}.key")];
        let arguments = [
            "x509",
            "-req",
            "-in",
            &csr,
            "-out",
            &pem,
            "-CA",
            &ca,
            "-CAkey",
            &key,
            "-CAcreateserial",
            "-days",
            "90",
            "-extfile",
            "extensions",
        ];
        self.openssl(&[&arguments[..], options].concat());
    }

    /// Issues a certificate for `names`; `options` are arguments of `openssl x509`, `extensions` further lines.
    pub fn issue_with(&self, names: &[&str], key_type: &[&str], extensions: &str, options: &[&str]) -> Issued {
        self.request("leaf", key_type, "leaf");
        let names: Vec<_> = names.iter().map(|name| format!("DNS:{name}")).collect();
        let names = if names.is_empty() { String::new() } else { format!("subjectAltName={}\n", names.join(",")) };
        self.sign("leaf", "intermediate", &format!("{names}{extensions}\nbasicConstraints=CA:FALSE\n"), options);
        let read = |name: &str| fs::read_to_string(self.0.path().join(name)).unwrap();
        Issued {
            leaf: read("leaf.pem"),
            intermediate: read("intermediate.pem"),
            root: read("root.pem"),
            key: read("leaf.key"),
        }
    }

    pub fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(names, P256, "", &[])
    }
}

impl Issued {
    pub fn chain(&self) -> String {
        self.leaf.clone() + &self.intermediate
    }

    /// Writes a folder as a program does that knows how to: the new files replace the old ones.
    pub fn write(&self, folder: &Path) {
        write(folder, &self.chain(), &self.key);
    }
}

pub fn write(folder: &Path, chain: &str, key: &str) {
    fs::create_dir_all(folder).unwrap();
    for (name, content) in [("fullchain.pem", chain), ("privkey.pem", key)] {
        let new = folder.join(format!("{name}.new"));
        fs::write(&new, content).unwrap();
        fs::rename(new, folder.join(name)).unwrap();
    }
}
