//! An answer's text as its tokens come: valid UTF-8, each character once and whole, stop strings never shown.

use llmeval::protocol::GgufTokenizer;
use llmeval::text::{StopMatcher, TextModel, TextStream};

/// Random numbers that are the same everywhere: Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// Token i stands for byte i; the last two are a special token and a two-byte token that begins a character.
fn bytes_model() -> TextModel {
    let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut shifted = '\u{100}'..;
    let byte_token = |byte: u8| if printable(&byte) { char::from(byte) } else { shifted.next().unwrap() }.to_string();
    let mut tokens: Vec<String> = (0..=u8::MAX).map(byte_token).collect();
    tokens.push("<|end|>".into());
    let mut token_types = vec![1; 256];
    token_types.push(3);
    let metadata = GgufTokenizer {
        model: "gpt2".into(),
        pre: Some("gpt-2".into()),
        tokens,
        token_types,
        ..GgufTokenizer::default()
    };
    TextModel::from_gguf("bytes", &metadata).unwrap()
}

const SPECIAL: u32 = 256;

fn pieces(model: &TextModel, ids: &[u32]) -> (Vec<String>, String) {
    let mut detokenizer = model.detokenizer();
    let pieces = ids.iter().map(|id| detokenizer.push(*id)).collect();
    (pieces, detokenizer.finish())
}

#[test]
fn a_character_that_spans_tokens_appears_once_it_is_whole() {
    let model = bytes_model();
    let ids: Vec<u32> = "é👍".bytes().map(u32::from).collect();
    let (pieces, rest) = pieces(&model, &ids);
    assert_eq!(pieces, ["", "é", "", "", "", "👍"]);
    assert_eq!(rest, "");
}

#[test]
fn special_tokens_and_unknown_ids_are_not_shown() {
    let model = bytes_model();
    assert_eq!(model.decode(&[SPECIAL, u32::from(b'a'), SPECIAL, 99_999, u32::from(b'b')]), "ab");
}

#[test]
fn a_character_that_never_becomes_whole_is_shown_as_a_replacement_at_the_end_only() {
    let model = bytes_model();
    let (shown, rest) = pieces(&model, &[u32::from(b'a'), 0xF0, 0x9F]);
    assert_eq!((shown.concat().as_str(), rest.as_str()), ("a", "\u{FFFD}"));
    let (shown, rest) = pieces(&model, &[0xF0, 0x9F, u32::from(b'a')]);
    assert_eq!((shown.concat().as_str(), rest.as_str()), ("\u{FFFD}a", ""));
}

/// Emoji, family sequences, CJK, combining marks and plain bytes, cut anywhere.
#[test]
fn random_texts_and_random_bytes_come_out_as_the_whole_would() {
    let model = bytes_model();
    let parts = ["👩‍👩‍👧", "🇩🇪", "日本語", "e\u{301}", "plain ", "ß", "\u{FFFD}", "\n"];
    let mut random = Random(7);
    for _ in 0..500 {
        let mut bytes = Vec::new();
        for _ in 0..random.below(12) {
            match random.below(4) {
                0 => bytes.push(random.below(256) as u8),
                _ => bytes.extend_from_slice(parts[random.below(parts.len())].as_bytes()),
            }
        }
        let ids: Vec<u32> = bytes.iter().copied().map(u32::from).collect();
        let (shown, rest) = pieces(&model, &ids);
        assert_eq!(shown.concat() + &rest, String::from_utf8_lossy(&bytes));
        let is_whole = str::from_utf8(&bytes).is_ok();
        assert!(!is_whole || rest.is_empty(), "{bytes:?} held back {rest:?}");
    }
}

#[test]
fn an_endless_run_of_broken_bytes_holds_nothing_back() {
    let model = bytes_model();
    let mut detokenizer = model.detokenizer();
    for _ in 0..10_000 {
        assert_eq!(detokenizer.push(0x80), "\u{FFFD}");
    }
}

#[test]
fn a_stop_string_is_never_shown_however_the_text_is_cut() {
    let text = "one two STOP three";
    for cut in text.char_indices().map(|(at, _)| at) {
        let mut stops = StopMatcher::new(&["STOP"]);
        let first = stops.push(&text[..cut]);
        let second = stops.push(&text[cut..]);
        assert_eq!(first.text + &second.text, "one two ", "cut at {cut}");
        assert!(second.stopped);
    }
}

#[test]
fn only_what_may_begin_a_stop_string_is_held_back() {
    let mut stops = StopMatcher::new(&["aab", "xyz"]);
    assert_eq!(stops.push("hello a").text, "hello ");
    assert_eq!(stops.push("a").text, "");
    assert_eq!(stops.push("a").text, "a", "the last two letters may still begin a stop string");
    assert_eq!(stops.push("c").text, "aac");
    assert_eq!(stops.push("xy").text, "");
    assert_eq!(stops.finish(), "xy");
}

/// Compared with a search of the whole text after every letter.
#[test]
fn stops_agree_with_a_search_of_the_whole_text() {
    let mut random = Random(11);
    for _ in 0..2000 {
        let mut word =
            |limit: usize| -> String { (0..=random.below(limit)).map(|_| ['a', 'b', 'é'][random.below(3)]).collect() };
        let (text, stop, other) = (word(30), word(4), word(4));
        let expected = text.char_indices().find_map(|(at, letter)| {
            let read = &text[..at + letter.len_utf8()];
            let ends = [&stop, &other].into_iter().filter(|stop| read.ends_with(stop.as_str()));
            ends.map(|stop| read.len() - stop.len()).min()
        });
        let mut stops = StopMatcher::new(&[&stop, &other]);
        let mut shown = String::new();
        let mut is_stopped = false;
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let length = random.below(3) + 1;
            let cut = rest.char_indices().nth(length).map_or(rest.len(), |(at, _)| at);
            let outcome = stops.push(&rest[..cut]);
            shown += &outcome.text;
            is_stopped |= outcome.stopped;
            rest = &rest[cut..];
        }
        shown += &stops.finish();
        assert_eq!((shown.as_str(), is_stopped), (&text[..expected.unwrap_or(text.len())], expected.is_some()));
    }
}

#[test]
fn an_empty_stop_string_stops_nothing() {
    assert_eq!(StopMatcher::new(&[""]).push("text").text, "text");
}

#[test]
fn nothing_follows_a_stop_string() {
    let model = bytes_model();
    let mut stream = TextStream::new(model.detokenizer(), StopMatcher::new(&["\n\n"]));
    let chunks: Vec<_> = "a\n\nb".bytes().map(|byte| stream.push(byte.into())).collect();
    let shown: String = chunks.iter().map(|chunk| chunk.text.as_str()).collect();
    assert_eq!(shown + &stream.finish().text, "a");
    assert!(!chunks[1].stopped && chunks[2].stopped && chunks[3].stopped);
}

#[test]
fn the_end_of_a_stream_gives_what_was_held_back() {
    let model = bytes_model();
    let mut stream = TextStream::new(model.detokenizer(), StopMatcher::new(&["<end>"]));
    let shown: String = "a <en".bytes().map(|byte| stream.push(byte.into()).text).collect();
    assert_eq!((shown.as_str(), stream.finish().text.as_str()), ("a ", "<en"));
}
