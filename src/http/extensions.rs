//! Media types by extension that mime_guess lacks, or has from outdated lists.
//!
//! `tests/conformance/media-types.py` compares the types of all extensions with the registries, and lists the reasons for
//! differences.

/// Pairs of lower-case extension and type, sorted by extension, with the source of each.
pub const CORRECTED: &[(&str, &str)] = &[
    ("afm", "application/x-font-type1"),                  // Apache, as pfa
    ("appinstaller", "application/appinstaller"),         // Microsoft: App Installer
    ("appx", "application/appx"),                         // Microsoft: App Installer
    ("appxbundle", "application/appxbundle"),             // Microsoft: App Installer
    ("avifs", "image/avif"),                              // IANA; AV1 Image File Format §4
    ("cab", "application/vnd.ms-cab-compressed"),         // IANA
    ("car", "application/vnd.ipld.car"),                  // IANA
    ("cbr", "application/vnd.comicbook-rar"),             // IANA
    ("cbz", "application/vnd.comicbook+zip"),             // IANA
    ("cer", "application/pkix-cert"),                     // IANA, RFC 2585
    ("cjs", "text/javascript"), // RFC 9239: browsers run it; they do not run IANA's application/node
    ("class", "application/java-vm"), // Debian, Apache
    ("cod", "application/vnd.rim.cod"), // IANA, Apache
    ("cur", "image/x-icon"),    // WHATWG MIME Sniffing §6.1, as ico
    ("deb", "application/vnd.debian.binary-package"), // IANA
    ("dif", "video/dv"),        // IANA, RFC 6469
    ("dtd", "application/xml-dtd"), // IANA, RFC 7303
    ("dv", "video/dv"),         // IANA, RFC 6469
    ("dwf", "model/vnd.dwf"),   // IANA
    ("dwg", "image/vnd.dwg"),   // IANA
    ("dxf", "image/vnd.dxf"),   // IANA
    ("emf", "image/emf"),       // IANA, RFC 7903
    ("evy", "application/x-envoy"), // Apache
    ("fli", "video/fli"),       // Debian
    ("ipynb", "application/x-ipynb+json"), // Jupyter's own; freedesktop.org
    ("java", "text/plain"),     // as c and py: browsers show it
    ("jpgm", "image/jpm"),      // IANA, RFC 3745
    ("ktx2", "image/ktx2"),     // IANA
    ("lzh", "application/x-lzh-compressed"), // Apache, as lha
    ("m2t", "video/mp2t"),      // IANA, RFC 3555; freedesktop.org
    ("m2ts", "video/mp2t"),     // IANA, RFC 3555; freedesktop.org
    ("m3u", "audio/mpegurl"),   // Debian, RFC 8216
    ("m3u8", "application/vnd.apple.mpegurl"), // IANA, nginx, RFC 8216
    ("m4a", "audio/mp4"),       // IANA, RFC 4337
    ("m4b", "audio/mp4"),       // IANA, RFC 4337, as m4a
    ("m4p", "application/mp4"), // IANA, RFC 4337
    ("m4r", "audio/mp4"),       // IANA, RFC 4337, as m4a
    ("m4s", "video/iso.segment"), // IANA
    ("m4v", "video/mp4"),       // IANA, RFC 4337
    ("map", "application/json"), // IANA; ECMA-426
    ("mid", "audio/midi"),      // nginx, Apache
    ("midi", "audio/midi"),     // nginx, Apache
    ("mjs", "text/javascript"), // IANA, RFC 9239
    ("mlp", "audio/vnd.dolby.mlp"), // IANA
    ("mmf", "application/vnd.smaf"), // IANA
    ("mml", "application/mathml+xml"), // IANA, MathML 3 §B
    ("mobileconfig", "application/x-apple-aspen-config"), // Apple: iOS installs nothing else
    ("mpf", "text/vnd.ms-mediapackage"), // IANA
    ("msix", "application/msix"), // Microsoft: App Installer
    ("msixbundle", "application/msixbundle"), // Microsoft: App Installer
    ("mts", "video/mp2t"),      // AVCHD; freedesktop.org. IANA's model/vnd.mts is not in use
    ("obj", "model/obj"),       // IANA
    ("otf", "font/otf"),        // IANA, RFC 8081
    ("p12", "application/pkcs12"), // IANA
    ("pct", "image/x-pict"),    // Apache
    ("pcx", "image/vnd.zbrush.pcx"), // IANA
    ("pfb", "application/x-font-type1"), // Apache, as pfa
    ("pfm", "application/x-font-type1"), // Apache, as pfa
    ("pfx", "application/pkcs12"), // IANA
    ("pgn", "application/vnd.chess-pgn"), // IANA
    ("pic", "image/x-pict"),    // Apache
    ("pls", "audio/x-scpls"),   // Debian. IANA's application/pls+xml is another format
    ("pml", "application/vnd.ctc-posml"), // IANA
    ("psd", "image/vnd.adobe.photoshop"), // IANA
    ("qxd", "application/vnd.quark.quarkxpress"), // IANA, as qxt
    ("rar", "application/vnd.rar"), // IANA
    ("rct", "application/prs.nprend"), // IANA
    ("rmi", "audio/midi"),      // Apache
    ("roff", "text/troff"),     // IANA, RFC 4263
    ("rpm", "application/x-redhat-package-manager"), // Debian, nginx
    ("scr", "application/octet-stream"), // a Windows program, never text
    ("sea", "application/x-sea"), // nginx
    ("skp", "application/vnd.koan"), // IANA
    ("smi", "application/smil+xml"), // IANA, RFC 4536
    ("smv", "audio/smv"),       // IANA, RFC 3558
    ("sql", "application/sql"), // IANA, RFC 6922
    ("step", "model/step"),     // IANA
    ("stl", "model/stl"),       // IANA
    ("stp", "model/step"),      // IANA
    ("t", "text/troff"),        // IANA, RFC 4263
    ("tgz", "application/gzip"), // IANA, RFC 6713: a compressed tar file, to be saved as such
    ("toml", "application/toml"), // IANA
    ("tr", "text/troff"),       // IANA, RFC 4263
    ("ts", "video/mp2t"),       // IANA, nginx, RFC 3555, RFC 8216
    ("u32", "application/x-authorware-bin"), // Apache
    ("udeb", "application/vnd.debian.binary-package"), // IANA
    ("usdz", "model/vnd.usdz+zip"), // IANA
    ("vbk", "audio/vnd.nortel.vbk"), // IANA
    ("vcf", "text/vcard"),      // IANA, RFC 6350
    ("vcs", "text/x-vcalendar"), // Debian, Apache
    ("wmf", "image/wmf"),       // IANA, RFC 7903
    ("woff", "font/woff"),      // IANA, RFC 8081
    ("wrl", "model/vrml"),      // IANA, RFC 2077
    ("wsdl", "application/wsdl+xml"), // IANA
    ("x3db", "model/x3d+fastinfoset"), // IANA
    ("x3dv", "model/x3d-vrml"), // IANA
    ("x3dvz", "model/x3d-vrml"), // IANA, as x3dv
    ("xlf", "application/xliff+xml"), // IANA
    ("xsf", "application/prs.xsf+xml"), // IANA
    ("yaml", "application/yaml"), // IANA, RFC 9512
    ("yml", "application/yaml"), // IANA, RFC 9512
    ("zst", "application/zstd"), // IANA, RFC 8878
];
