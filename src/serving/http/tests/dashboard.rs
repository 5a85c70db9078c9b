//! The dashboard.

use super::*;
use crate::metrics::MetricValue;
use crate::serving::transport::{Admin, BearerToken};

fn ask(server: &Running, path: &str, more: &str) -> (u16, String) {
    // The URL may be that of the admin port.
    let address = server.url.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(address).unwrap();
    let patience = Some(Duration::from_secs(30));
    connection.set_read_timeout(patience).unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n");
    connection.write_all(head.as_bytes()).unwrap();
    let answer = rest(&mut connection);
    let status = answer["HTTP/1.1 ".len()..][..3].parse().unwrap();
    (status, answer)
}

#[test]
fn it_is_off_unless_told_and_with_the_admin_routes_alone() {
    for admin in [Admin::SamePort, Admin::Address("127.0.0.1:0".to_owned())] {
        let server = Running::with_one_model(&ServerOptions::default().admin(admin));
        assert_eq!(ask(&server, "/dashboard", "").0, 404);
    }
    let error = ServerOptions::default().dashboard().check().unwrap_err();
    assert_eq!(
        error.message(),
        "`dashboard` is on and `admin` is off, `admin` must be `same_port` or an address"
    );
    let own = Admin::Address("127.0.0.1:0".to_owned());
    let mut server = Running::with_one_model(&ServerOptions::default().admin(own).dashboard());
    assert_eq!(ask(&server, "/dashboard", "").0, 404);
    let admin = server.handle.as_ref().unwrap().admin_address().unwrap();
    server.url = format!("http://{admin}");
    assert_eq!(ask(&server, "/dashboard", "").0, 200);
    assert_eq!(
        ask(&server, "/dashboard", "Origin: https://other.example\r\n").0,
        403
    );

    // It is for clients that may change what is served.
    let tokens = BearerToken::new(["for-the-shop"]).admin(["for-operators"]);
    let options = ServerOptions::default().admin(Admin::SamePort).dashboard();
    let server = Running::with_one_model(&options.auth(tokens));
    for (token, status) in [
        ("for-the-shop", 403),
        ("for-operators", 200),
        ("nobody", 401),
    ] {
        let header = format!("Authorization: Bearer {token}\r\n");
        assert_eq!(ask(&server, "/dashboard", &header).0, status, "{token}");
    }
    // A model may be called so.
    let header = "Authorization: Bearer for-the-shop\r\n";
    assert_eq!(ask(&server, "/v2/models/dashboard", header).0, 404);
}

#[test]
fn it_shows_what_is_served_and_how() {
    let mut found = None;
    let server = Running::routed(|core| {
        found = Some(core.clone());
        let options = ServerOptions::default().admin(Admin::SamePort);
        options.dashboard().router(core)
    });
    let core = found.unwrap();
    let (_, empty) = ask(&server, "/dashboard", "");
    assert!(empty.contains("Nothing was asked yet."));
    for _ in 0..3 {
        assert_eq!(server.infer("late", all_inputs()).0, 200);
    }
    assert_eq!(server.infer("late", json!([])).0, 400);
    let metrics = core.metrics();
    metrics.drift("late", 1, "<b>fare</b>", "psi").set(0.25);
    let auc = MetricValue::new(0.75, 900);
    metrics.live("late", 1, "auc", auc.with_interval(0.7, 0.8));
    metrics.live("late", 1, "log_loss", MetricValue::new(0.5, 900));
    metrics.alert("March is in <another> unit");
    metrics.alert("March is in <another> unit");
    let (status, page) = ask(&server, "/dashboard", "");
    assert_eq!(status, 200);
    for part in [
        "content-type: text/html; charset=utf-8",
        "content-security-policy: default-src 'none'",
        "cache-control: no-store",
        "<meta http-equiv=\"refresh\" content=\"5\">",
        "<span class=\"tag good\">available</span>",
        "&lt;b&gt;fare&lt;/b&gt;",
        "0.7500 <span class=\"muted\">0.7000 to 0.8000</span>",
        "March is in &lt;another&gt; unit",
        "<td class=\"n\">2</td></tr>",
        // Three requests were answered and one was not.
        "<td class=\"n\">4</td>",
    ] {
        assert!(page.contains(part), "no {part} in {page}");
    }
    assert!(!page.contains("<b>fare") && !page.contains("<script"));
    assert_eq!(core.metrics().alerts()[0].times, 2);

    // Live metrics are removed with their version.
    let live = || {
        core.metrics()
            .encode()
            .matches("fourfold_live_metric{")
            .count()
    };
    assert_eq!(live(), 4);
    metrics.live("late", 1, "auc", auc);
    assert_eq!(live(), 2);
    metrics.retire("late", 1);
    assert_eq!(live(), 0);
}
