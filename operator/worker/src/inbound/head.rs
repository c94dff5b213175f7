//! The head of a request before the component sees it: whose word is taken for what.

use alloy_primitives::B256;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};

use crate::app::Passage;
use crate::body::{self, Body};
use crate::metrics::Origin;
use crate::orders;
use crate::outbound::{CALLER, HOPS, MOST_HOPS, remove_own_headers};
use crate::subnet::Name;

/// Prepares a request from the public port: nobody out there is a member or speaks for one.
///
/// # Errors
///
/// The answer to give instead.
pub(super) fn from_public(request: &mut Request<Body>) -> Result<Passage, Box<Response<Body>>> {
    remove_own_headers(request.headers_mut());
    let Some(host) = host_of(request) else {
        return Err(Box::new(body::answer(StatusCode::BAD_REQUEST, "the request names no host")));
    };
    match Name::of(&host) {
        Name::Outside => Ok(Passage::new(Origin::Public, 0)),
        Name::Subnet | Name::Itself | Name::Worker(_) | Name::Unknown => {
            Err(Box::new(body::answer(
                StatusCode::MISDIRECTED_REQUEST,
                "names of the subnet are not served here",
            )))
        }
    }
}

/// Prepares a request from the member `caller`, which reached us, the worker `own`, over the overlay.
///
/// # Errors
///
/// The answer to give instead.
pub(super) fn from_member(
    request: &mut Request<Body>,
    caller: B256,
    own: B256,
) -> Result<Passage, Box<Response<Body>>> {
    let hops = hops_of(request.headers());
    remove_own_headers(request.headers_mut());
    if hops > MOST_HOPS {
        return Err(Box::new(body::answer(
            StatusCode::LOOP_DETECTED,
            "the request came through too many members",
        )));
    }
    let text =
        |text: String| HeaderValue::try_from(text).expect("digits, letters and dots make a header");
    // Some clients of libp2p's HTTP send an empty host; the component is to see a name in any case.
    if host_of(request).is_none_or(|host| host.is_empty()) {
        request
            .headers_mut()
            .insert(header::HOST, text(format!("{}.subnet.internal", orders::decimal(own))));
    }
    request.headers_mut().insert(CALLER, text(orders::decimal(caller)));
    Ok(Passage::new(Origin::Subnet, hops))
}

/// The name of the host without its port. A URI with an authority wins over the header, as HTTP has it.
fn host_of(request: &Request<Body>) -> Option<String> {
    if let Some(host) = request.uri().host() {
        return Some(host.to_owned());
    }
    let header = request.headers().get(header::HOST)?.to_str().ok()?;
    let without_port =
        header.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    Some(without_port.map_or(header, |(host, _)| host).to_owned())
}

/// What the last host counted; a count that cannot be read is one too many.
fn hops_of(headers: &HeaderMap) -> u8 {
    match headers.get(HOPS) {
        None => 0,
        Some(count) => count.to_str().ok().and_then(|count| count.parse().ok()).unwrap_or(u8::MAX),
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use http::{Request, StatusCode};
    use rstest::rstest;

    use super::{from_member, from_public};
    use crate::body::full;
    use crate::outbound::MOST_HOPS;

    #[test]
    fn the_protocol_names_the_most_hops() {
        let text = include_str!("../../../overlay/PROTOCOL.md");
        assert!(text.contains(&format!("above {MOST_HOPS}, or no number, the answer is 508")));
    }

    #[rstest]
    #[case::a_public_name("example.com", None)]
    #[case::a_public_name_with_port("example.com:8080", None)]
    #[case::an_address("[2001:db8::1]:80", None)]
    #[case::the_zone("subnet.internal", Some(StatusCode::MISDIRECTED_REQUEST))]
    #[case::itself_with_port("self.subnet.internal:80", Some(StatusCode::MISDIRECTED_REQUEST))]
    #[case::a_worker_in_capitals("7.SUBNET.internal", Some(StatusCode::MISDIRECTED_REQUEST))]
    fn the_public_port_serves(#[case] host: &str, #[case] refused: Option<StatusCode>) {
        let mut request = Request::builder().header("host", host).body(full("")).unwrap();
        let prepared = from_public(&mut request);
        assert_eq!(prepared.err().map(|answer| answer.status()), refused);
    }

    #[test]
    fn the_public_port_serves_no_subnet_name_in_the_uri_either() {
        let request =
            Request::builder().uri("http://7.subnet.internal/").header("host", "example.com");
        let refused = from_public(&mut request.body(full("")).unwrap()).unwrap_err();
        assert_eq!(refused.status(), StatusCode::MISDIRECTED_REQUEST);
    }

    #[test]
    fn the_public_cannot_pose_as_a_member() {
        let request = Request::builder()
            .header("host", "example.com")
            .header("Coreward-Caller", "7")
            .header("coreward-hops", "1");
        let mut request = request.body(full("")).unwrap();
        from_public(&mut request).unwrap();
        assert!(request.headers().keys().all(|name| !name.as_str().starts_with("coreward-")));
    }

    #[test]
    fn a_member_is_named_by_its_key_and_not_by_its_word() {
        let request = Request::builder()
            .header("host", "")
            .header("coreward-caller", "1")
            .header("coreward-hops", "3");
        let mut request = request.body(full("")).unwrap();
        let passage =
            from_member(&mut request, B256::with_last_byte(9), B256::with_last_byte(5)).unwrap();
        let headers = request.headers();
        assert_eq!(
            (passage.hops, &headers["coreward-caller"], &headers["host"]),
            (3, &"9".parse().unwrap(), &"5.subnet.internal".parse().unwrap())
        );
        assert_eq!(headers.get_all("coreward-caller").iter().count(), 1);
    }

    #[rstest]
    #[case::none(None)]
    #[case::empty(Some(""))]
    #[case::only_a_port(Some(":80"))]
    fn a_member_that_names_no_host_has_asked_for_us(#[case] host: Option<&str>) {
        let mut request = Request::new(full(""));
        if let Some(host) = host {
            request.headers_mut().insert("host", host.parse().unwrap());
        }
        from_member(&mut request, B256::with_last_byte(9), B256::with_last_byte(5)).unwrap();
        assert_eq!(request.headers()["host"], "5.subnet.internal");
    }

    #[rstest]
    #[case::too_many("9")]
    #[case::no_number("many")]
    fn a_request_that_came_too_far_is_refused(#[case] hops: &str) {
        let mut request = Request::builder().header("coreward-hops", hops).body(full("")).unwrap();
        let refused = from_member(&mut request, B256::ZERO, B256::ZERO).unwrap_err();
        assert_eq!(refused.status(), StatusCode::LOOP_DETECTED);
    }
}
