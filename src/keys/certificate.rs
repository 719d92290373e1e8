//! What a chain of certificates says, and what is wrong with it.

use aws_lc_rs::digest;
use x509_cert::Certificate;
use x509_cert::der::asn1::{ObjectIdentifier, UintRef};
use x509_cert::der::{Decode, Encode, Reader, SliceReader};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::signatures::is_signed_by;
use crate::dns_name;
use crate::ipc::key_protocol::{KeyId, KeyKind, MAX_CHAIN, MAX_CHAIN_BYTES, MAX_NAMES};

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP256R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// RFC 7633.
const TLS_FEATURE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.24");

/// The signatures with SHA-1 or MD5: RSA and ECDSA.
const WEAK_SIGNATURES: [ObjectIdentifier; 3] = [
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5"),
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.4"),
    ObjectIdentifier::new_unwrap("1.2.840.10045.4.1"),
];

/// RSASSA-PSS, whose parameters name the hash function; without them it is SHA-1.
const PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");

/// The beginning of the identifiers of SHA-2, in DER.
const SHA2: [u8; 8] = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];

/// What a chain says.
#[derive(Debug, Clone, Default)]
pub struct Description {
    /// The identifier of the key.
    pub id: KeyId,
    /// The kind of the key; none for one that the server does not support.
    pub kind: Option<KeyKind>,
    /// The DNS names, in lower case.
    pub names: Vec<String>,
    /// The issuer, as one line.
    pub issuer: String,
    /// The type of the key, for people.
    pub key: String,
    /// The start of the validity, in seconds since the epoch.
    pub not_before: i64,
    /// The end of the validity.
    pub not_after: i64,
    /// Whether clients demand a stapled response of OCSP.
    pub must_staple: bool,
    /// The reason why it cannot be used, with the remedy.
    pub error: Option<String>,
}

/// Describes a chain in DER. Fails if a certificate cannot be parsed.
pub fn describe(chain: &[Vec<u8>]) -> Result<Description, String> {
    let parse = |(index, der): (usize, &Vec<u8>)| {
        Certificate::from_der(der)
            .map_err(|error| format!("certificate {} of fullchain.pem is damaged ({error}); get it again", index + 1))
    };
    let certificates: Vec<_> = chain.iter().enumerate().map(parse).collect::<Result<_, _>>()?;
    let Some(leaf) = certificates.first().map(Certificate::tbs_certificate) else {
        return Err("fullchain.pem has no certificate; it has to begin with the one of this server".into());
    };
    let key = leaf.subject_public_key_info();
    let key_der =
        key.to_der().map_err(|error| format!("the public key is damaged ({error}); get the certificate again"))?;
    let (kind, text) = kind(leaf.subject_public_key_info());
    let names = names(&certificates[0])?;
    let seconds = |time: x509_cert::time::Time| i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    let mut description = Description {
        id: digest::digest(&digest::SHA256, &key_der).as_ref().try_into().unwrap_or_default(),
        kind,
        names,
        issuer: leaf.issuer().to_string(),
        key: text,
        not_before: seconds(leaf.validity().not_before),
        not_after: seconds(leaf.validity().not_after),
        must_staple: must_staple(&certificates[0]),
        error: None,
    };
    description.error = chain_error(chain, &certificates).or_else(|| {
        let supported = "get one with a key of type ECDSA P-256, ECDSA P-384, RSA or Ed25519";
        kind.is_none().then(|| format!("the type of its key, {}, is not supported; {supported}", description.key))
    });
    Ok(description)
}

/// Returns what is wrong with the chain as a whole.
fn chain_error(chain: &[Vec<u8>], certificates: &[Certificate]) -> Option<String> {
    if chain.iter().map(Vec::len).sum::<usize>() > MAX_CHAIN_BYTES || chain.len() > MAX_CHAIN {
        return Some(format!(
            "its chain has {} certificates, more than {MAX_CHAIN} or than {MAX_CHAIN_BYTES} bytes; remove those that do not belong to it",
            chain.len()
        ));
    }
    for (index, pair) in certificates.windows(2).enumerate() {
        let (issuer, next) = (pair[0].tbs_certificate().issuer(), pair[1].tbs_certificate().subject());
        if issuer != next {
            return Some(format!(
                "fullchain.pem is not in order: certificate {} is issued by \"{issuer}\", but the next one is \"{next}\"; put \
                 the certificate of this server first, and after each one its issuer",
                index + 1
            ));
        }
        if is_signed_by(&chain[index], &pair[0], &pair[1]) == Some(false) {
            return Some(format!(
                "fullchain.pem is not in order: certificate {} is not signed by the next one, which has the same name as its \
                 issuer, \"{issuer}\"; put the certificate of its issuer there, as the authority has sent it",
                index + 1
            ));
        }
    }
    let is_root =
        |certificate: &Certificate| certificate.tbs_certificate().issuer() == certificate.tbs_certificate().subject();
    let weak = certificates.iter().position(|certificate| !is_root(certificate) && has_weak_signature(certificate))?;
    Some(format!(
        "certificate {} of fullchain.pem is signed with SHA-1 or MD5, which clients reject; get one with a signature by SHA-256",
        weak + 1
    ))
}

fn has_weak_signature(certificate: &Certificate) -> bool {
    let algorithm = certificate.signature_algorithm();
    let parameters = || algorithm.parameters.as_ref().map_or(&[][..], |parameters| parameters.value());
    WEAK_SIGNATURES.contains(&algorithm.oid)
        || (algorithm.oid == PSS && !parameters().windows(SHA2.len()).any(|part| part == SHA2))
}

/// Returns the DNS names that are names of hosts, with wildcards for one label. A server that is known by an address has none.
fn names(certificate: &Certificate) -> Result<Vec<String>, String> {
    let extension = certificate.tbs_certificate().get_extension::<SubjectAltName>();
    let extension = extension.map_err(|error| format!("its list of names is damaged ({error}); get it again"))?;
    let names = extension.iter().flat_map(|(_, names)| &names.0).filter_map(|name| match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
        _ => None,
    });
    let mut names: Vec<_> = names.filter(|name| dns_name::is_name(name.strip_prefix("*.").unwrap_or(name))).collect();
    names.dedup();
    if names.len() > MAX_NAMES {
        return Err(format!("it has more than {MAX_NAMES} names; divide them among several certificates"));
    }
    Ok(names)
}

fn must_staple(certificate: &Certificate) -> bool {
    let extensions = certificate.tbs_certificate().extensions().into_iter().flatten();
    let mut features = extensions.filter(|extension| extension.extn_id == TLS_FEATURE);
    // status_request is 5, as INTEGER.
    features.any(|extension| extension.extn_value.as_bytes().windows(3).any(|value| value == [2, 1, 5]))
}

fn kind(key: &x509_cert::SubjectPublicKeyInfo) -> (Option<KeyKind>, String) {
    let curve = || key.algorithm.parameters.as_ref().and_then(|parameters| parameters.decode_as().ok());
    match key.algorithm.oid {
        EC_PUBLIC_KEY => match curve() {
            Some(SECP256R1) => (Some(KeyKind::EcdsaP256), "ECDSA P-256".into()),
            Some(SECP384R1) => (Some(KeyKind::EcdsaP384), "ECDSA P-384".into()),
            other => {
                (None, other.map_or("ECDSA".into(), |curve: ObjectIdentifier| format!("ECDSA on the curve {curve}")))
            }
        },
        RSA => (Some(KeyKind::Rsa), format!("RSA {}", rsa_bits(key).unwrap_or(0))),
        ED25519 => (Some(KeyKind::Ed25519), "Ed25519".into()),
        other => (None, other.to_string()),
    }
}

/// Returns the length of the modulus (RFC 8017 §A.1.1).
fn rsa_bits(key: &x509_cert::SubjectPublicKeyInfo) -> Option<usize> {
    let mut reader = SliceReader::new(key.subject_public_key.as_bytes()?).ok()?;
    let parse = |reader: &mut SliceReader<'_>| -> x509_cert::der::Result<usize> {
        let modulus = UintRef::decode(reader)?;
        let bytes = modulus.as_bytes();
        let _exponent = UintRef::decode(reader)?;
        Ok(bytes.len() * 8 - bytes.first().map_or(0, |byte| byte.leading_zeros() as usize))
    };
    reader.sequence(parse).ok()
}
