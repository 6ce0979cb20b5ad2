//! A photo in a JSON string: base64 in the variants that programs write. It is decoded from the
//! request body in blocks, so that the text is not copied.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;

use super::buffer::Buffer;

/// Accepts trailing bits, which some encoders write, and any padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// Symbols decoded in one block; four symbols are three bytes.
const PIECE: usize = 4096;

/// Maximum length of a data: URI's media type with its parameters, in characters.
const MOST_MEDIA_TYPE: usize = 200;

/// The reason why a text is not a photo; completes a sentence that begins with the field's name.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// The decoded photo would be too large.
    #[error("is too large")]
    TooLarge,
    /// The system has no more memory.
    #[error(transparent)]
    Memory(#[from] std::io::Error),
    /// A number or a Boolean.
    #[error("must be a photo in base64")]
    NoText,
    /// A data: URI that is not in base64.
    #[error("is a data: URI without base64 data; send data:image/jpeg;base64,DATA, or only DATA")]
    DataUri,
    /// A character outside both base64 alphabets.
    #[error("is not base64: invalid character {symbol:?} at position {at}")]
    Symbol {
        /// The character.
        symbol: char,
        /// The position of the character, from 1.
        at: usize,
    },
    /// Characters after the padding.
    #[error("is not base64: data follows the padding (=) at position {at}")]
    BehindPadding {
        /// The position of the first padding character, from 1.
        at: usize,
    },
    /// A last group of only one symbol.
    #[error("is not base64: the text is truncated (one character in its last group)")]
    CutOff,
}

/// Decodes a JSON string literal, with its quotes and escapes: base64 in the standard or the
/// URL-safe alphabet, with or without padding and line breaks, plain or as a data: URI.
///
/// # Errors
/// [`Refused`]; at most `most_bytes` are decoded.
pub(super) fn decode(json: &[u8], most_bytes: usize) -> Result<Bytes, Refused> {
    let text = json.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\""));
    let mut text = Unescaped(str::from_utf8(text.ok_or(Refused::NoText)?).unwrap_or_default());
    let skipped = skip_data_uri(&mut text)?;
    let mut decoded = Decoded::new(most_bytes);
    let mut padding = None;
    for (at, symbol) in (skipped + 1..).zip(text) {
        match symbol {
            ' ' | '\t' | '\r' | '\n' => {}
            '=' => padding = padding.or(Some(at)),
            _ if let Some(at) = padding => return Err(Refused::BehindPadding { at }),
            '-' => decoded.push(b'+')?,
            '_' => decoded.push(b'/')?,
            'A'..='Z' | 'a'..='z' | '0'..='9' | '+' | '/' => decoded.push(symbol as u8)?,
            _ => return Err(Refused::Symbol { symbol, at }),
        }
    }
    decoded.finish()
}

/// Skips the head of a data: URI (RFC 2397), if there is one, and returns its length in characters.
fn skip_data_uri(text: &mut Unescaped<'_>) -> Result<usize, Refused> {
    let head: String = text.clone().take(MOST_MEDIA_TYPE).take_while(|c| *c != ',').collect();
    if !head.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:")) {
        return Ok(0);
    }
    if !head.to_ascii_lowercase().ends_with(";base64") {
        return Err(Refused::DataUri);
    }
    let length = head.chars().count() + 1;
    text.nth(length - 1).ok_or(Refused::DataUri)?;
    Ok(length)
}

/// The decoded bytes, and the symbols of the incomplete block.
struct Decoded {
    bytes: Buffer,
    piece: [u8; PIECE],
    filled: usize,
}

impl Decoded {
    fn new(most: usize) -> Self {
        Self { bytes: Buffer::new(most), piece: [0; PIECE], filled: 0 }
    }

    fn push(&mut self, symbol: u8) -> Result<(), Refused> {
        self.piece[self.filled] = symbol;
        self.filled += 1;
        if self.filled == PIECE { self.decode() } else { Ok(()) }
    }

    fn decode(&mut self) -> Result<(), Refused> {
        let mut decoded = [0; PIECE / 4 * 3];
        let symbols = &self.piece[..self.filled];
        // All symbols are valid, so only a last group of one symbol fails.
        let length = BASE64.decode_slice(symbols, &mut decoded).map_err(|_| Refused::CutOff)?;
        self.filled = 0;
        if self.bytes.append(&decoded[..length])? { Ok(()) } else { Err(Refused::TooLarge) }
    }

    fn finish(mut self) -> Result<Bytes, Refused> {
        self.decode()?;
        Ok(self.bytes.into_bytes())
    }
}

/// The characters of a JSON string, which is known to be well-formed.
#[derive(Clone)]
struct Unescaped<'a>(&'a str);

impl Iterator for Unescaped<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let mut rest = self.0.chars();
        let symbol = match rest.next()? {
            '\\' => match rest.next()? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'u' => {
                    let (code, behind) = rest.as_str().split_at_checked(4)?;
                    rest = behind.chars();
                    let code = u32::from_str_radix(code, 16).ok()?;
                    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
                }
                other => other,
            },
            symbol => symbol,
        };
        self.0 = rest.as_str();
        Some(symbol)
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{
        STANDARD as PADDED, STANDARD_NO_PAD as UNPADDED, URL_SAFE,
    };
    use proptest::prelude::*;

    use super::*;

    fn decoded(text: &str) -> Result<Bytes, String> {
        read(&serde_json::to_string(text).unwrap(), 1 << 20)
    }

    fn read(json: &str, most: usize) -> Result<Bytes, String> {
        decode(json.as_bytes(), most).map_err(|refused| refused.to_string())
    }

    proptest! {
        #[test]
        fn every_common_form_is_decoded(bytes in prop::collection::vec(any::<u8>(), 0..9000)) {
            let padded = PADDED.encode(&bytes);
            let lines = padded.as_bytes().chunks(76).map(|line| str::from_utf8(line).unwrap());
            let lines = lines.collect::<Vec<_>>().join("\r\n");
            let texts = [
                UNPADDED.encode(&bytes),
                URL_SAFE.encode(&bytes),
                format!("{lines}\n"),
                format!("data:image/jpeg;base64,{padded}"),
                format!("DATA:image/webp;name=\u{e4}.webp;Base64,{lines}"),
                padded.clone(),
            ];
            for text in &texts {
                prop_assert_eq!(decoded(text), Ok(bytes.clone().into()), "{}", text);
            }
            let escaped = padded.replace('/', "\\/").replace('+', "\\u002B");
            prop_assert_eq!(read(&format!("\"{escaped}\""), 1 << 20), Ok(bytes.into()));
        }
    }

    #[test]
    fn invalid_text_is_refused_with_reason() {
        for (text, fault) in [
            ("AAAA%AAA", "'%' at position 5"),
            ("AA\u{e4}A", "'\u{e4}' at position 3"),
            ("data:;base64,AA\u{1F600}A", "'\u{1F600}' at position 16"),
            ("AA==AAAA", "follows the padding (=) at position 3"),
            ("AAAAA", "truncated"),
            ("data:image/jpeg,AAAA", "without base64 data"),
            ("data:image/jpeg;base64", "without base64 data"),
        ] {
            let refused = decoded(text).unwrap_err();
            assert!(refused.contains(fault), "{text}: {refused}");
        }
        assert!(matches!(decode(b"7", 100), Err(Refused::NoText)));
        let long = format!("\"{}\"", "A".repeat(200));
        assert!(matches!(decode(long.as_bytes(), 100), Err(Refused::TooLarge)));
        assert_eq!(decoded(""), Ok(Bytes::new()));
    }
}
