//! Names that contain a hash of the content: site generators give each version of such a file a name of its own, so a browser
//! may keep it for a year.
//!
//! A wrong guess cannot be taken back, so a name counts only with a hash of the right form at the place where generators put it:
//! at the end of the name, before the extension. The forms are hexadecimal digits (webpack, Next.js, MkDocs), eight characters of
//! base64url (Rollup and Vite), and eight of base32 (esbuild). How strict a form is read depends on the directory: some belong
//! to a generator alone, some hold files of the author as well. A hash that looks like words, a number or a date does not count.

mod words;

use words::strangeness;

/// The directories that only a generator writes, with slashes: Next.js, Astro, SvelteKit, Nuxt.
const OF_GENERATORS: [&str; 4] = ["_next/static/", "_astro/", "_app/immutable/", "_nuxt/"];

/// The directories into which a generator writes files with hashes, and copies files of the author as they are: Vite,
/// Docusaurus, VitePress; Create React App, Gatsby.
const SHARED: [&str; 2] = ["assets/", "static/"];

/// The extensions of scripts and styles, which authors hardly name by date or product.
const CODE: [&str; 4] = ["js", "mjs", "css", "wasm"];

/// What a generator may add after the hash.
const MARKS: [&str; 7] = [".min", ".chunk", ".lean", ".bundle", ".module", "-s.p", "-s"];

/// The separators before a hash.
const SEPARATORS: &[u8] = b".-";

/// The length of a hash of Rollup, Vite and esbuild.
const SHORT: usize = 8;

/// The [`strangeness`] from which base64url is taken for a hash where authors may have files as well. Of 3,000 names of eight
/// characters in upper and lower case that people gave to things in programs, the highest is 17.
const STRANGE: i32 = 18;

/// The length from which hexadecimal digits are no word and no date.
const LONG: usize = 16;

/// Where a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In a directory that only a generator writes.
    Generator,
    /// In a directory of a generator that has files of the author as well.
    Shared,
    /// Elsewhere.
    Other,
}

/// Returns whether the last name of `path`, which is relative, contains a hash of the content of its file.
pub fn is_hashed(path: &[u8]) -> bool {
    let Ok(path) = std::str::from_utf8(path) else { return false };
    let name_at = path.rfind('/').map_or(0, |slash| slash + 1);
    let (directory, name) = path.split_at(name_at);
    let Some((stem, extension)) = name.rsplit_once('.') else { return false };
    if matches!(extension, "html" | "htm" | "xhtml" | "json" | "xml" | "br" | "gz" | "zst") {
        return false;
    }
    let place = place(directory);
    let stem = MARKS.iter().find_map(|mark| stem.strip_suffix(mark)).unwrap_or(stem);
    match place {
        Place::Generator => is_hash_of_generator(stem) || of_image(stem).is_some_and(is_hash_of_generator),
        Place::Shared => is_hex_hash(stem) || ends_with(stem, is_base64) || is_of_vitepress(directory, stem, extension),
        Place::Other if CODE.contains(&extension) => {
            is_hex_hash(stem) || ends_with(stem, is_base64_with_digit) || ends_with(stem, is_base32)
        }
        Place::Other => false,
    }
}

fn place(directory: &str) -> Place {
    let is_below = |folder: &&str| directory.starts_with(*folder) || directory.contains(&format!("/{folder}"));
    if OF_GENERATORS.iter().any(is_below) {
        Place::Generator
    } else if SHARED.iter().any(is_below) {
        Place::Shared
    } else {
        Place::Other
    }
}

/// A hash in a directory that only a generator writes: it may be the whole name, and may lack a digit if it is no word.
fn is_hash_of_generator(stem: &str) -> bool {
    let hex = trailing_hex(stem);
    let is_long = hex.len() >= LONG && has_both(hex) && is_separated(stem, hex.len(), true);
    let is_short = |tail: &str| {
        let letters = Letters::of(tail);
        letters.is_base64 && if letters.digits > 0 { letters.lower + letters.upper > 0 } else { letters.is_mixed(tail) }
    };
    is_long || is_hex_hash(stem) || tail(stem, SHORT, true).is_some_and(is_short)
}

/// Returns the name without what Astro adds to that of an image: an underscore and a hash of the transformation.
fn of_image(stem: &str) -> Option<&str> {
    let (stem, transformation) = stem.rsplit_once('_')?;
    let is_one = (4..=8).contains(&transformation.len()) && transformation.bytes().all(|b| b.is_ascii_alphanumeric());
    is_one.then_some(stem)
}

/// A hash in base64url that may be like words, in a script that only VitePress makes: below `assets/chunks/`, and for each page
/// `assets/PAGE.md.HASH.js`.
fn is_of_vitepress(directory: &str, stem: &str, extension: &str) -> bool {
    let Some((name, hash)) = stem.rsplit_once('.').filter(|(name, hash)| !name.is_empty() && hash.len() == SHORT)
    else {
        return false;
    };
    let letters = Letters::of(hash);
    extension == "js"
        && (name.ends_with(".md") || directory.ends_with("assets/chunks/"))
        && letters.is_base64
        && letters.is_mixed(hash)
}

/// A hash in hexadecimal digits after a name and a separator: at least eight, with digits and letters.
fn is_hex_hash(stem: &str) -> bool {
    let hex = trailing_hex(stem);
    is_separated(stem, hex.len(), false)
        && has_both(hex)
        && (hex.len() >= LONG || hex.len() >= SHORT && !has_number_at_edge(hex) && !is_date(hex))
}

/// Eight characters of base64url that are unlike words.
fn is_base64(hash: &str) -> bool {
    let letters = Letters::of(hash);
    letters.is_base64 && letters.is_mixed(hash) && strangeness(hash) >= STRANGE
}

/// The same without the directory of a generator: there has to be a digit.
fn is_base64_with_digit(hash: &str) -> bool {
    Letters::of(hash).digits > 0 && is_base64(hash)
}

/// Eight characters of base32 (esbuild, Angular), with digits and letters.
fn is_base32(hash: &str) -> bool {
    let is_base32 = hash.bytes().all(|b| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b));
    is_base32 && has_both(hash) && !has_number_at_edge(hash)
}

/// Returns whether the last eight characters after a name and a separator are a hash.
fn ends_with(stem: &str, is_hash: fn(&str) -> bool) -> bool {
    tail(stem, SHORT, false).is_some_and(is_hash)
}

/// Returns the last `length` characters after a separator; the whole name only if `may_be_all`.
fn tail(stem: &str, length: usize, may_be_all: bool) -> Option<&str> {
    let at = stem.len().checked_sub(length)?;
    stem.get(at..).filter(|_| is_separated(stem, length, may_be_all))
}

/// Returns whether there is a separator before the last `length` bytes, after a name.
fn is_separated(stem: &str, length: usize, may_be_all: bool) -> bool {
    match stem.as_bytes()[..stem.len() - length] {
        [] => may_be_all,
        [.., _, last] => SEPARATORS.contains(&last),
        [_] => false,
    }
}

fn trailing_hex(stem: &str) -> &str {
    let is_hex = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    let length = stem.bytes().rev().take_while(|b| is_hex(b)).count();
    &stem[stem.len() - length..]
}

fn has_both(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_digit()) && text.bytes().any(|b| b.is_ascii_alphabetic())
}

/// Returns whether all digits are one number at the beginning or the end, as in `iPhone15`, `cafe2024` and `3rdplace`.
fn has_number_at_edge(text: &str) -> bool {
    let is_digit = |b: u8| b.is_ascii_digit();
    let digits = text.bytes().filter(|&b| is_digit(b)).count();
    let first = text.bytes().take_while(|&b| is_digit(b)).count();
    let last = text.bytes().rev().take_while(|&b| is_digit(b)).count();
    digits > 0 && (first == digits || last == digits)
}

/// Returns whether hexadecimal digits are a date such as `4feb2024`: the only months in them are February and December.
fn is_date(hex: &str) -> bool {
    ["feb", "dec"].iter().any(|month| {
        let numbers = hex.split_once(month);
        numbers.is_some_and(|(before, after)| before.bytes().chain(after.bytes()).all(|b| b.is_ascii_digit()))
    })
}

/// The kinds of characters in a text that may be base64url.
#[derive(Debug, Default)]
struct Letters {
    is_base64: bool,
    lower: usize,
    upper: usize,
    digits: usize,
}

impl Letters {
    fn of(text: &str) -> Self {
        let mut letters = Letters { is_base64: true, ..Letters::default() };
        for byte in text.bytes() {
            match byte {
                b'a'..=b'z' => letters.lower += 1,
                b'A'..=b'Z' => letters.upper += 1,
                b'0'..=b'9' => letters.digits += 1,
                b'-' | b'_' => {}
                _ => letters.is_base64 = false,
            }
        }
        letters
    }

    /// Returns whether there are lower-case and upper-case letters, other than in a word with a capital.
    fn is_mixed(&self, text: &str) -> bool {
        let is_capitalized = self.upper == 1 && self.lower + 1 == text.len() && text.starts_with(char::is_uppercase);
        self.lower > 0 && self.upper > 0 && !is_capitalized
    }
}

#[cfg(test)]
mod tests;
