//! The head of a request: what makes it ambiguous, too long, or a web page's.

use std::net::IpAddr;

use axum::http::header::{HOST, ORIGIN, TRANSFER_ENCODING};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Request, StatusCode, Uri, Version};

use super::failure::Failure;
use crate::error::shortened;

/// Checks a head against a limit in bytes.
///
/// # Errors
/// 400 where there is not one `Host` (HTTP/1.1), or a coding of the body that is not read here; 414 for a path, and 431
/// for a head, that is too long.
pub(in crate::serving) fn check<B>(request: &Request<B>, max_bytes: usize) -> Result<(), Failure> {
    let headers = request.headers();
    let refuse = |text: &str| Err(Failure::new(StatusCode::BAD_REQUEST, text).closing());
    if request.version() == Version::HTTP_11 && headers.get_all(HOST).iter().count() != 1 {
        return refuse("the request must have exactly one header `Host`");
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next()
        && (!coding.as_bytes().eq_ignore_ascii_case(b"chunked") || codings.next().is_some())
    {
        return refuse("the header `Transfer-Encoding` must be `chunked`");
    }
    let path = length_of(request.uri());
    if path > max_bytes {
        let text = format!("the path is longer than {max_bytes} bytes");
        return Err(Failure::new(StatusCode::URI_TOO_LONG, text).closing());
    }
    if path + n_bytes(headers) > max_bytes {
        let text = format!("the head is longer than {max_bytes} bytes");
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(Failure::new(status, text).closing());
    }
    Ok(())
}

fn length_of(uri: &Uri) -> usize {
    uri.path_and_query().map_or(0, |path| path.as_str().len())
}

/// The bytes of the headers as written in HTTP/1: `name: value` and the end of the line.
fn n_bytes(headers: &HeaderMap) -> usize {
    let lengths = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4);
    lengths.sum()
}

/// Checks that no web page of another site has sent a request that changes something: neither openly, with its `Origin`,
/// nor with a name of its own for this server. Names of a machine of its own are an address, `localhost`, and those of
/// `hosts`; with `None` any will do.
///
/// # Errors
/// 403.
pub(super) fn check_site(head: &Parts, hosts: Option<&[String]>) -> Result<(), Failure> {
    let authority = match head.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => head.headers.get(HOST).and_then(|host| host.to_str().ok()),
    };
    let refuse = |text: String| Err(Failure::new(StatusCode::FORBIDDEN, text));
    if let Some(origin) = head.headers.get(ORIGIN) {
        let origin = origin.to_str().unwrap_or_default();
        let site = origin.split_once("://").map(|(_, site)| site);
        if site.is_none() || site != authority {
            let origin = shortened(origin);
            return refuse(format!("the request comes from another site, `{origin}`"));
        }
    }
    if let (Some(hosts), Some(authority)) = (hosts, authority) {
        let host = without_port(authority);
        let is_own = host.parse::<IpAddr>().is_ok()
            || host.eq_ignore_ascii_case("localhost")
            || hosts.iter().any(|own| own.eq_ignore_ascii_case(host));
        if !is_own {
            let host = shortened(host);
            return refuse(format!(
                "`{host}` is not a name of this server: set the option `admin_hosts`, or tokens"
            ));
        }
    }
    Ok(())
}

/// The host of `host:port`, without the brackets of an IPv6 address.
fn without_port(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split_once(']').map_or(rest, |(host, _)| host);
    }
    authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(host: &str, origin: Option<&str>) -> Parts {
        let mut request = Request::builder().uri("/v2").header(HOST, host);
        if let Some(origin) = origin {
            request = request.header(ORIGIN, origin);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn pages_of_other_sites_change_nothing() {
        let hosts = ["models.internal".to_owned()];
        for (host, origin, is_own) in [
            ("127.0.0.1:8000", None, true),
            ("[::1]:8000", None, true),
            ("localhost", None, true),
            ("Models.Internal:9000", None, true),
            ("rebound.example:8000", None, false),
            (
                "rebound.example:8000",
                Some("http://rebound.example:8000"),
                false,
            ),
            ("127.0.0.1:8000", Some("http://127.0.0.1:8000"), true),
            ("127.0.0.1:8000", Some("http://127.0.0.1:9000"), false),
            ("127.0.0.1:8000", Some("https://evil.example"), false),
            ("127.0.0.1:8000", Some("null"), false),
        ] {
            let checked = check_site(&head(host, origin), Some(&hosts));
            assert_eq!(checked.is_ok(), is_own, "{host} {origin:?}");
        }
        // Behind a token or an application of its own, any name will do.
        assert!(check_site(&head("models.example", None), None).is_ok());
        assert!(check_site(&head("models.example", Some("https://evil.example")), None).is_err());
    }
}
