//! A first app: it greets, counts its visitors, and keeps what it is sent.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /api` | the greeting of the configuration, and which visit this is |
//! | `PUT /api/note` | keeps the body |
//! | `GET /api/note` | what was kept |

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::StreamError;

/// What the host grants beside WASI 0.2 itself.
mod host {
    wit_bindgen::generate!({ path: "wit", world: "app", generate_all });
}

use host::wasi::{
    config::store as config,
    keyvalue::{atomics, store as keyvalue},
};

/// What one write to a body's stream may hold.
const PIECE: usize = 4096;
/// What one read from it may give.
const READ_AT_ONCE: u64 = 64 * 1024;
/// Bytes of a note.
const NOTE: usize = 64 * 1024;

struct App;

wasip2::http::proxy::export!(App);

impl Guest for App {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let answer = match (request.method(), path.as_str()) {
            (Method::Get, "/api" | "/api/") => greet(),
            (Method::Get, "/api/note") => note(),
            (Method::Put, "/api/note") => keep(&request),
            _ => Ok((404, b"nothing is here\n".to_vec())),
        };
        let (status, body) = answer.unwrap_or_else(|reason| (500, reason.into_bytes()));
        respond(out, status, &body);
    }
}

type Answer = Result<(u16, Vec<u8>), String>;

fn greet() -> Answer {
    let greeting = config::get("greeting").map_err(|error| format!("{error:?}"))?;
    let visits = atomics::increment(&bucket()?, "visits", 1).map_err(words)?;
    let greeting = greeting.as_deref().unwrap_or("hello");
    Ok((200, format!("{greeting}, visit {visits}\n").into_bytes()))
}

fn note() -> Answer {
    let note = bucket()?.get("note").map_err(words)?;
    Ok(note.map_or_else(|| (404, b"no note yet\n".to_vec()), |note| (200, note)))
}

fn keep(request: &IncomingRequest) -> Answer {
    match read(request)? {
        Some(note) => bucket()?.set("note", &note).map_err(words).map(|()| (204, Vec::new())),
        None => Ok((413, b"the note is too long\n".to_vec())),
    }
}

/// The store of this worker. It lives as long as the worker's pod.
fn bucket() -> Result<keyvalue::Bucket, String> {
    keyvalue::open("").map_err(words)
}

fn words(error: keyvalue::Error) -> String {
    match error {
        keyvalue::Error::Other(words) => format!("{words}\n"),
        other => format!("{other:?}\n"),
    }
}

/// The request's body; `None` if it is too long.
fn read(request: &IncomingRequest) -> Result<Option<Vec<u8>>, String> {
    let taken = |()| "the body was taken already\n".to_owned();
    let body = request.consume().map_err(taken)?;
    let stream = body.stream().map_err(taken)?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(READ_AT_ONCE) {
            Ok(piece) => bytes.extend(piece),
            Err(StreamError::Closed) => return Ok(Some(bytes)),
            Err(error) => return Err(format!("the body broke off: {error}\n")),
        }
        if bytes.len() > NOTE {
            return Ok(None);
        }
    }
}

fn respond(out: ResponseOutparam, status: u16, bytes: &[u8]) {
    let response = OutgoingResponse::new(Fields::new());
    // The host takes every status that is one.
    let _ = response.set_status_code(status);
    let Ok(body) = response.body() else { return };
    ResponseOutparam::set(out, Ok(response));
    if let Ok(stream) = body.write() {
        for piece in bytes.chunks(PIECE) {
            if stream.blocking_write_and_flush(piece).is_err() {
                // The client went away: nobody is left to tell.
                return;
            }
        }
    }
    let _ = OutgoingBody::finish(body, None);
}
