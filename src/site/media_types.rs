//! The media types and the charset of the site's files.

use std::ffi::CStr;
use std::time::SystemTime;

use super::compressed::has_compressible_size;
use super::version::FileVersion;
use crate::config::Options;
use crate::digest::Digest;
use crate::failure::{self, Failure};
use crate::http::media_type::Types;
use crate::http::{Coding, Representation, media_type};

/// The media types of the options, and the charset of text files.
#[derive(Debug)]
pub struct MediaTypes {
    types: Types,
    charset: Option<String>,
    /// Whether files are compressed in memory.
    compresses: bool,
}

impl MediaTypes {
    /// Reads the file of media types that the options name. Types that are given one by one take precedence over it.
    pub fn load(options: &Options) -> Result<Self, Failure> {
        let text = options.mime_types.as_ref().map(|path| {
            std::fs::read_to_string(path).map_err(|error| {
                let (path, why) = (path.display(), failure::reason(&error));
                Failure::new(format!(
                    "The media types in {path} cannot be read ({why}): name another file with --mime-types."
                ))
            })
        });
        let text = text.transpose()?.unwrap_or_default();
        let types = Types::new(media_type::parse_mime_types(&text).chain(options.mime.iter().cloned()));
        Ok(MediaTypes { types, charset: options.charset.clone(), compresses: options.compress_cache > 0 })
    }

    /// Returns the metadata of the file at `path`, whose content has the digest `content`. A file such as `backup.tar.gz` is
    /// in a content coding by itself.
    pub fn describe(
        &self,
        path: &CStr,
        version: &FileVersion,
        content: Option<Digest>,
        now: SystemTime,
    ) -> Representation {
        let media_type = self.types.of(path.to_bytes());
        let charset = self.charset.as_deref().filter(|_| media_type::is_text(media_type));
        let coding = media_type::coding(path.to_bytes(), media_type);
        let (validator, modified_s) = (version.validator(content, now), version.last_modified_s(now));
        let original =
            Representation::new(version.size(), validator, modified_s, media_type, charset).stored_in(coding);
        let is_compressible = self.compresses
            && coding == Coding::Identity
            && has_compressible_size(version.size())
            && media_type::is_compressible(media_type);
        if is_compressible { original.compressible() } else { original }
    }
}
