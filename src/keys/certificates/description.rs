//! The description of a folder for workers, checks and the journal.

use super::{DEFAULT, Folder};
use crate::ipc::key_protocol::{Certificate, MAX_TEXT_BYTES, Overview};
use crate::keys::certificate::Description;
use crate::keys::expiry::date;
use crate::keys::folder::{Pair, Unusable};
use crate::log::catalog;
use crate::printable::Printable;

/// A fault of a certificate that is used all the same.
const MUST_STAPLE: &str = "It demands a stapled response of OCSP (must-staple), which this server does not send, and some clients \
                           reject it: get one without that extension, with certbot by removing must-staple = True from its \
                           configuration.";

/// A fault of a certificate that no client gets.
const NO_NAMES: &str =
    "It has no DNS name, and so no client gets it: name its folder \"default\", or get one with names (SAN).";

/// Logs a new certificate.
pub(super) fn report_new(name: &str, description: &Description) {
    let Description { names, key, not_after, must_staple, .. } = description;
    let (certificate, names, until) = (Printable(name), names.join(" "), date(*not_after));
    tracing::info!(certificate = %certificate, "Certificate {certificate}: {key}, valid until {until}, for {names}.");
    if *must_staple {
        tracing::warn!(certificate = %certificate, "Certificate {certificate}: {MUST_STAPLE}");
    }
}

/// Logs a folder that cannot be used.
pub(super) fn report_unusable(name: &str, unusable: &Unusable, has_current: bool) {
    let (certificate, why) = (Printable(name), Printable(&unusable.why));
    let effect = if has_current { "the one before stays in use" } else { "its names are not served" };
    tracing::error!(
        message_id = catalog::CERTIFICATE_UNUSABLE,
        certificate = %certificate,
        "Certificate {certificate} cannot be used, and {effect}: {why}."
    );
}

/// Returns the certificate for workers.
pub(super) fn certificate(name: &str, pair: &Pair) -> Certificate {
    Certificate {
        id: pair.description.id,
        key: pair.kind,
        chain: pair.chain.clone(),
        names: pair.description.names.clone(),
        not_before: pair.description.not_before,
        not_after: pair.description.not_after,
        is_default: name == DEFAULT,
        folder: limited(name),
    }
}

/// Returns the overview of a folder, without its dates, which change with time.
pub(super) fn overview(name: &str, folder: &Folder) -> Overview {
    let fault = folder.fault.as_ref();
    let described = folder.current.as_ref().map(|pair| &pair.description);
    let described = described.or_else(|| fault.and_then(|fault| fault.description.as_deref()));
    let mut overview = Overview { folder: limited(name), is_usable: folder.current.is_some(), ..Overview::default() };
    if let Some(described) = described {
        overview.names = described.names.clone();
        overview.issuer = limited(&described.issuer);
        overview.key = described.key.clone();
        (overview.not_before, overview.not_after) = (described.not_before, described.not_after);
        if described.must_staple {
            overview.faults.push(MUST_STAPLE.into());
        }
        if described.names.is_empty() && name != DEFAULT && folder.current.is_some() {
            overview.faults.push(NO_NAMES.into());
        }
    }
    if let Some(fault) = fault {
        let effect = if folder.current.is_some() { ", and the one before stays in use" } else { "" };
        overview.faults.push(limited(&format!("It cannot be used{effect}: {}.", fault.why)));
    }
    overview
}

/// Returns as much of a text as a frame can have, without control characters.
pub(super) fn limited(text: &str) -> String {
    let mut text = Printable(text).to_string();
    text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
    text
}
