//! Whether `PROTOCOL.md` says what the code does.

use crate::admission::HANDSHAKE_TIMEOUT;
use crate::client::OPEN_RETRIES;
use crate::event_loop::{CONNECTIONS_PER_MEMBER, SERVED_STREAMS};
use crate::gate::{KNOWN, OF_STRANGERS, PER_SOURCE, Rate, STRANGERS};
use crate::io::LARGE_PIECE;
use crate::member::STREAMS_PER_MEMBER;
use crate::muxer::{STREAMS_PER_CONNECTION, WINDOW};
use crate::serve::{HEADER_TIMEOUT, READ_AHEAD};

#[test]
fn the_numbers_in_the_text_are_those_of_the_code() {
    // Where the text breaks its lines is its own affair.
    let text = include_str!("../PROTOCOL.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let rate = |rate: Rate| {
        format!("| {} at once, then one each {} ms |", rate.burst, rate.every.as_millis())
    };
    let [first, second, third] = OPEN_RETRIES.map(|pause| pause.as_millis());
    let window = (STREAMS_PER_CONNECTION * WINDOW) >> 20;
    let said = [
        format!("must end within {} s", HANDSHAKE_TIMEOUT.as_secs()),
        format!("after {first} ms, {second} ms and {third} ms"),
        format!("Of more than {CONNECTIONS_PER_MEMBER} connections of one key"),
        format!("may idle for {} s", HEADER_TIMEOUT.as_secs()),
        format!("at most {STREAMS_PER_MEMBER} of one member"),
        format!("serves {SERVED_STREAMS} streams"),
        format!("at most {STREAMS_PER_CONNECTION} streams of both sides"),
        format!("window of a yamux stream is {} KiB", WINDOW >> 10),
        format!("may have {} KiB", READ_AHEAD >> 10),
        format!("of one /64) {}", rate(PER_SOURCE)),
        format!("of all addresses that are no member's {}", rate(OF_STRANGERS)),
        format!("of addresses that are no member's | {STRANGERS} |"),
        format!("of members' addresses | {KNOWN} |"),
        format!("{} MiB for all of them", (STRANGERS + KNOWN) / 4),
        format!("{window} MiB a connection, {} MiB a member", window * CONNECTIONS_PER_MEMBER),
        format!(
            "hold {} MiB at most",
            (SERVED_STREAMS * (WINDOW + READ_AHEAD + LARGE_PIECE)) >> 20
        ),
    ];
    for sentence in said {
        assert!(text.contains(&sentence), "PROTOCOL.md does not say `{sentence}`");
    }
}
