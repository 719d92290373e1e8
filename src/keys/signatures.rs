//! The signatures in a chain: whether a certificate is signed by the one that follows. Names are not enough: an authority that
//! changes its key keeps its name, and clients reject a chain with its former certificate.

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::SignatureVerificationAlgorithm;
use x509_cert::Certificate;
use x509_cert::der::asn1::AnyRef;
use x509_cert::der::{Decode, Encode, Reader, SliceReader};

/// Returns whether the certificate `der` is signed by the key of `issuer`. None if that is not known: the algorithm is one
/// that this program has no code for.
pub fn is_signed_by(der: &[u8], certificate: &Certificate, issuer: &Certificate) -> Option<bool> {
    let signature_algorithm = contents(certificate.signature_algorithm())?;
    let key = issuer.tbs_certificate().subject_public_key_info();
    let key_algorithm = contents(&key.algorithm)?;
    let is_suitable = |algorithm: &&dyn SignatureVerificationAlgorithm| {
        algorithm.signature_alg_id().as_ref() == signature_algorithm
            && algorithm.public_key_alg_id().as_ref() == key_algorithm
    };
    let supported = aws_lc_rs::default_provider().signature_verification_algorithms.all;
    let algorithm = supported.iter().copied().find(is_suitable)?;
    let (signature, key) = (certificate.signature().as_bytes()?, key.subject_public_key.as_bytes()?);
    Some(algorithm.verify_signature(key, signed_part(der)?, signature).is_ok())
}

/// Returns an identifier of an algorithm as rustls has it: without the tag and the length around it.
fn contents(identifier: &impl Encode) -> Option<Vec<u8>> {
    let der = identifier.to_der().ok()?;
    Some(AnyRef::from_der(&der).ok()?.value().to_vec())
}

/// Returns the bytes of a certificate that are signed (RFC 5280 §4.1): the first of its three parts, as it arrived.
fn signed_part(der: &[u8]) -> Option<&[u8]> {
    let parts = AnyRef::from_der(der).ok()?.value();
    SliceReader::new(parts).ok()?.tlv_bytes().ok()
}
