//! The address that a request comes from: the peer's, or what the proxies in front say that it is.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::http::{Extensions, HeaderMap};

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// Who is at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// The address of the caller, where so many proxies are trusted. Each of them puts whom it saw last in
/// `X-Forwarded-For`, so that what stands before their entries is the caller's own invention.
pub(super) fn address(headers: &HeaderMap, extensions: &Extensions, trusted_proxies: usize) -> IpAddr {
    let peer = extensions.get::<Peer>().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.0);
    let Some(before) = trusted_proxies.checked_sub(1) else { return peer };
    let lines = headers.get_all(X_FORWARDED_FOR).into_iter().filter_map(|line| line.to_str().ok());
    let mut entries: Vec<&str> = lines.flat_map(|line| line.split(',')).collect();
    entries.reverse();
    entries.get(before).and_then(|entry| parse(entry.trim())).unwrap_or(peer)
}

/// An address, as proxies write it: some with the port.
fn parse(entry: &str) -> Option<IpAddr> {
    let bare = entry.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(|| entry.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &[&str], trusted_proxies: usize) -> String {
        let headers = lines.iter().map(|line| (X_FORWARDED_FOR.parse().unwrap(), line.parse().unwrap())).collect();
        let mut extensions = Extensions::new();
        extensions.insert(Peer("10.0.0.9".parse().unwrap()));
        address(&headers, &extensions, trusted_proxies).to_string()
    }

    #[test]
    fn only_what_the_proxies_in_front_wrote_is_believed() {
        assert_eq!(told(&["192.0.2.1"], 0), "10.0.0.9");
        assert_eq!(told(&["1.1.1.1, 192.0.2.1"], 1), "192.0.2.1");
        assert_eq!(told(&["1.1.1.1, 192.0.2.1 ,10.0.0.2"], 2), "192.0.2.1");
        assert_eq!(told(&["1.1.1.1", "192.0.2.1", "10.0.0.2"], 2), "192.0.2.1");
    }

    #[test]
    fn what_is_missing_or_no_address_is_the_peers() {
        for lines in [&[][..], &["192.0.2.1"], &["unknown, 10.0.0.2"], &[","]] {
            assert_eq!(told(lines, 2), "10.0.0.9", "{lines:?}");
        }
    }

    #[test]
    fn ports_and_brackets_do_not_matter() {
        for (entry, address) in
            [("192.0.2.1:4711", "192.0.2.1"), ("[2001:db8::1]:4711", "2001:db8::1"), ("[2001:db8::1]", "2001:db8::1")]
        {
            assert_eq!(told(&[entry], 1), address);
        }
    }
}
