//! The kind of a file, by its name: the page has an icon for each.

use crate::http::media_type;

/// The kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Files packed into one.
    Archive,
    /// Sound.
    Audio,
    /// Pages for print or an office program.
    Document,
    /// A picture.
    Image,
    /// Text, source code and data in text.
    Text,
    /// Film.
    Video,
    /// Anything else.
    Other,
}

impl Kind {
    /// Returns the kind of a file with this name.
    pub fn of(name: &[u8]) -> Self {
        let media_type = media_type::of(name);
        let (kind, subtype) = media_type.split_once('/').unwrap_or_default();
        match kind {
            "audio" => Kind::Audio,
            "image" => Kind::Image,
            "video" => Kind::Video,
            "text" => Kind::Text,
            "application" => Kind::of_application(subtype),
            _ => Kind::Other,
        }
    }

    fn of_application(subtype: &str) -> Self {
        const ARCHIVES: [&str; 14] = [
            "gzip",
            "zip",
            "zstd",
            "x-tar",
            "x-7z-compressed",
            "x-bzip",
            "x-bzip2",
            "x-xz",
            "vnd.rar",
            "x-rar-compressed",
            "java-archive",
            "vnd.debian.binary-package",
            "x-redhat-package-manager",
            "vnd.ms-cab-compressed",
        ];
        const TEXTS: [&str; 7] = ["json", "xml", "javascript", "x-sh", "toml", "yaml", "sql"];
        let is_any_of = |prefixes: &[&str]| prefixes.iter().any(|prefix| subtype.starts_with(prefix));
        if ARCHIVES.contains(&subtype) {
            Kind::Archive
        } else if TEXTS.contains(&subtype) || subtype.ends_with("+json") || subtype.ends_with("+xml") {
            Kind::Text
        } else if is_any_of(&["pdf", "msword", "vnd.ms-excel", "vnd.ms-powerpoint", "rtf", "epub"])
            || is_any_of(&["vnd.openxmlformats-officedocument", "vnd.oasis.opendocument"])
        {
            Kind::Document
        } else {
            Kind::Other
        }
    }

    /// Returns the class that the style sheet knows it by.
    pub fn class(self) -> Option<&'static str> {
        match self {
            Kind::Archive => Some("z"),
            Kind::Audio => Some("a"),
            Kind::Document => Some("p"),
            Kind::Image => Some("i"),
            Kind::Text => Some("t"),
            Kind::Video => Some("v"),
            Kind::Other => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_by_extension() {
        for (names, expected) in [
            ("a.zip a.tar a.tar.gz a.tgz a.7z a.deb a.tar.xz a.tar.zst a.jar a.rar a.rpm", Kind::Archive),
            ("a.mp3 a.flac a.ogg A.WAV", Kind::Audio),
            ("a.pdf a.doc a.docx a.odt a.xlsx a.ods a.rtf a.epub a.pptx", Kind::Document),
            ("a.png a.svg a.JPG a.webp a.avif favicon.ico", Kind::Image),
            ("a.txt a.html a.css a.js a.rs a.py a.json a.xml a.md a.csv a.sh a.rss a.webmanifest", Kind::Text),
            ("a.mp4 a.webm a.mkv", Kind::Video),
            ("a a.unknown a.iso a.bin a.woff2 a.wasm .png", Kind::Other),
        ] {
            for name in names.split(' ') {
                assert_eq!(Kind::of(name.as_bytes()), expected, "{name}: {}", media_type::of(name.as_bytes()));
            }
        }
    }
}
