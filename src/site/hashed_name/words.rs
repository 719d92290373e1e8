//! How unlike words a text is. A hash in base64url changes between upper and lower case, letters and digits at random, and has
//! pairs of letters that no word has; a name that people give is made of words and numbers.

/// How rare each letter is after each other one, both in the order of the alphabet, in the words of file names and programs: with
/// 4, it is as frequent as by chance (1 of 26), with each number more half as frequent. `tests/generators/letters.py` prints
/// this table.
const PAIRS: [&[u8; 26]; 26] = [
    b"74348648596342848232556757",
    b"25573767356266267345377868",
    b"38572793493367278343489969",
    b"35541567268466378447467767",
    b"45335558688443656223756479",
    b"36673378178378299354488748",
    b"46662743379353367246498767",
    b"26661688277556267453477759",
    b"45344449897441347533859695",
    b"26662776377666245715355577",
    b"35541766276555556634466657",
    b"26641777296378268744468948",
    b"24752988297447338747488979",
    b"36333526375675468732558969",
    b"55447558565332449244454678",
    b"28662774497377249243488879",
    b"57476577576255574546076476",
    b"26451659295645368533568949",
    b"47362773385556336832466859",
    b"38481674299576379334597848",
    b"44454659487342639232788697",
    b"25571967277767477675699767",
    b"26662763276573358336776887",
    b"46362665366546426552868658",
    b"44553555486333416534665855",
    b"37571776366456356767465743",
];

/// The number of a pair that is as frequent as by chance.
const BY_CHANCE: i32 = 4;

/// What each word counts: eight characters are rarely three of them, and hardly ever four.
const WORD: i32 = 5;

/// What a number counts.
const NUMBER: i32 = 1;

/// What the first letter counts, for or against a hash. Rollup writes 128 bits without leading zeros, six bits a letter, so that
/// the first letter stands for two of them: it is B, C or D in three of four hashes, and seldom in words.
const FIRST: i32 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Lower,
    Upper,
    Digit,
    Other,
}

/// Returns how unlike words `text` is: names that people give have 17 or less, and four of five hashes of Rollup have more. A
/// word is a run of lower-case letters, with a capital before it or not, or of capitals, as in an abbreviation, whose letters
/// may follow each other in any order.
pub fn strangeness(text: &str) -> i32 {
    let bytes = text.as_bytes();
    let mut sum = if matches!(bytes.first(), Some(b'B'..=b'D')) { FIRST } else { -FIRST };
    let mut before = [None; 2];
    for (at, &byte) in bytes.iter().enumerate() {
        let kind = kind(byte);
        match (before[1], kind) {
            (Some(Kind::Lower | Kind::Upper), Kind::Lower) => {
                // The last capital of several begins the word.
                if before == [Some(Kind::Upper); 2] {
                    sum += WORD;
                }
                sum += rarity(bytes[at - 1], bytes[at]);
            }
            (Some(Kind::Upper), Kind::Upper) | (Some(Kind::Digit), Kind::Digit) | (_, Kind::Other) => {}
            (_, Kind::Lower | Kind::Upper) => sum += WORD,
            (_, Kind::Digit) => sum += NUMBER,
        }
        before = [before[1], Some(kind)];
    }
    sum
}

fn kind(byte: u8) -> Kind {
    match byte {
        b'a'..=b'z' => Kind::Lower,
        b'A'..=b'Z' => Kind::Upper,
        b'0'..=b'9' => Kind::Digit,
        _ => Kind::Other,
    }
}

/// Returns how rare the letter `next` is after `letter`, whatever their case; less than zero for a frequent one.
fn rarity(letter: u8, next: u8) -> i32 {
    let index = |letter: u8| usize::from(letter.to_ascii_lowercase() - b'a');
    i32::from(PAIRS[index(letter)][index(next)] - b'0') - BY_CHANCE
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names most unlike words, of 3,000 with eight characters in upper and lower case that people gave to things in the
    /// sources of the packages that the generators' test installs.
    const OF_PROGRAMS: &str = "mgf1SHA1 CSSSkewY CSSSkewX srcAppTs Nfsv3Fsf kwdOrDef ipv6Only EXT_sRGB DDotrahd BuildCtx xMidYMid toDirWcc \
        jtdForms ipv6Cidr ipv4Cidr hkdfSync errToObj docsById XhmikosR NfsFsDir mdxjsEsm maxFuzzy hexToRgb eofInTag \
        ajvAsync Nlm4Lock MdxjsEsm GLclampf CpuUsage xhtmlOut useRafFn toBeNull imgShift httpOnly htmlPeek doNotLog \
        VPNavBar Nfsv4Acl IRawRule IOnigLib HttpOnly CosmosDB CSSTools srcAlpha setSkewY setSkewX gzipSync goToDiff \
        execArgv cmdValue buildCtx Nfsv4Ace DocsRoot BuildLog AsciiDoc xMinYMin waitInMs toRegExp ssrWidth sgmlDecl \
        oaepHash myObject isRegExp isPseudo isPartOf cpOffset addToSet UglifyJS Nlm4Stat McKenzie DevTools DOMUtils \
        CircleCI CbClient BoxAlign AllowNaN writeTkn writeCmd walkSync vertAdvY utf8Size toSubmit skipSelf recmaJsx \
        oldVNode objectID numViews keyOrRef isNANOID ip_ratiG htmlTrie goToNext goBackTo gfmTable getTagID fuzzyGet \
        fpsLimit cpuUsage buildJsx authSafe WeekSpec VueHooks VPFlyout SfcBlock OTabSize EmptyObj CapsLock CalcNode \
        CSSToken";

    /// Names of files, as people give them.
    const OF_FILES: &str = "toDoList goToPage eBayLogo aToZList WebGL2Ex vue3Comp Web3Auth e2eTests A11yMenu l10nFile mp3Audio p2pChat_ \
        Utf8Text Base64Js Md5Sum32 Sha256Js OAuth2Js iPhone15 iPhone5s MacBook3 Sydney24 Ch1Sec2a Fig2A3B1 iOS17_v2 \
        Logo_v2B GoPro_H9 DSC0001a Japan1-0 handTool rotateCw";

    #[test]
    fn names_that_people_give() {
        for name in OF_PROGRAMS.split(' ').chain(OF_FILES.split(' ')) {
            assert!(strangeness(name) <= 17, "{name}: {}", strangeness(name));
        }
    }

    #[test]
    fn words_numbers_and_pairs_of_letters() {
        for (text, expected) in [
            ("", -2),
            ("a", WORD - 2),
            ("B", WORD + 2),
            ("in", WORD - 2 + rarity(b'i', b'n')),
            ("In", WORD - 2 + rarity(b'i', b'n')),
            ("PNG", WORD - 2),
            ("PNGIn", 2 * WORD - 2 + rarity(b'i', b'n')),
            ("inIn", 2 * (WORD + rarity(b'i', b'n')) - 2),
            ("in-in_", 2 * (WORD + rarity(b'i', b'n')) - 2),
            ("in12", WORD + NUMBER - 2 + rarity(b'i', b'n')),
            ("1a2", WORD + 2 * NUMBER - 2),
            ("aBaB", 3 * WORD - 2 + rarity(b'b', b'a')),
        ] {
            assert_eq!(strangeness(text), expected, "{text}");
        }
        assert!(rarity(b'i', b'n') < 0 && rarity(b'm', b'q') > 0);
    }
}
