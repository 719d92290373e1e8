//! Precompressed variants that are not the file beside them, as `precompress --verify` finds them.

use std::path::Path;

use super::findings::{Finding, Findings};
use crate::config::FindingKind;
use crate::failure::Failure;
use crate::precompress;

/// Compares all variants below `directory` with their files. Returns their number.
pub fn check(directory: &Path, findings: &mut Findings) -> Result<u64, Failure> {
    let verification = precompress::verify(directory)?;
    let top = directory.display().to_string();
    for (path, rejected) in &verification.rejected {
        let relative = path.strip_prefix(&*top).map_or(&**path, |rest| rest.trim_start_matches('/'));
        let text = format!("{rejected}; \"otus-httpd precompress\" makes it anew");
        findings.add(Finding::new(FindingKind::Variant, relative, None, text));
    }
    if verification.failed > 0 {
        let text = format!("{} variants or directories could not be read; see the messages", verification.failed);
        findings.add(Finding::new(FindingKind::Unread, ".", None, text));
    }
    Ok(verification.variants)
}
