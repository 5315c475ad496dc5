//! The text of a token: `ten_`, eight public characters, forty-three secret ones.
//!
//! The public part finds the stored hash; where it finds none, nothing expensive is computed.
//! The secret part holds 256 random bits in base 62, so that a double click selects all of it.

/// What every token starts with, so that scanners for leaked secrets know one when they see it.
const MARK: &str = "ten_";
/// Characters after the mark that are not secret.
const PUBLIC_LEN: usize = 8;
/// 62^43 is just above 2^256.
const SECRET_LEN: usize = 43;
/// The public part of a token is its first so many characters.
pub(super) const PREFIX_LEN: usize = MARK.len() + PUBLIC_LEN;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Makes a token from the kernel's random numbers (getrandom(2)).
pub(super) fn generate() -> Result<String, getrandom::Error> {
    let mut text = String::with_capacity(PREFIX_LEN + SECRET_LEN);
    text.push_str(MARK);
    while text.len() < PREFIX_LEN + SECRET_LEN {
        let mut bytes = [0; 64];
        getrandom::fill(&mut bytes)?;
        // 248 is the largest multiple of 62 in a byte: beyond it, low characters would be
        // more likely than high ones.
        let even = bytes.iter().filter(|byte| **byte < 248);
        let room = PREFIX_LEN + SECRET_LEN - text.len();
        text.extend(even.take(room).map(|byte| char::from(ALPHABET[usize::from(byte % 62)])));
    }
    Ok(text)
}

/// The public part, mark included, of a text that has the form of a token.
pub(super) fn prefix(text: &str) -> Option<&str> {
    let rest = text.strip_prefix(MARK)?;
    let formed = rest.len() == PUBLIC_LEN + SECRET_LEN
        && rest.bytes().all(|byte| byte.is_ascii_alphanumeric());
    formed.then(|| &text[..PREFIX_LEN])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_their_form_and_differ() {
        let (one, two) = (generate().unwrap(), generate().unwrap());
        assert_ne!(one, two);
        assert_eq!(one.len(), 55);
        assert_eq!(prefix(&one), Some(&one[..12]));
    }

    #[test]
    fn other_texts_have_no_prefix() {
        let token = generate().unwrap();
        let (short, long) = (&token[..54], format!("{token}0"));
        let (unmarked, wild) = (token.replace("ten_", "net_"), format!("{}é", &token[..53]));
        for bad in ["", "ten_", short, &long, &unmarked, &wild] {
            assert_eq!(prefix(bad), None, "{bad:?}");
        }
    }
}
