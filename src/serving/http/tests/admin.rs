//! The routes that change what is served.

use super::*;
use crate::serving::transport::Admin;

fn three_versions(options: &ServerOptions) -> Running {
    Running::with(options, |root| {
        for version in [1, 2, 3] {
            late_model("late", f64::from(version))
                .save(&root.join(format!("late/{version}")))
                .unwrap();
        }
    })
}

fn request(server: &Running, method: &str, path: &str, body: &Value) -> (u16, String) {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let mut connection = server.connect();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    connection.write_all(head.as_bytes()).unwrap();
    let answer = rest(&mut connection);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head["HTTP/1.1 ".len()..][..3].parse().unwrap();
    (status, body.to_owned())
}

const MODEL: &str = "/v2/repository/models/late";

fn answers(server: &Running) -> Value {
    server.infer("late", all_inputs()).1["model_version"].clone()
}

#[test]
fn a_model_is_unloaded_and_loaded() {
    let server = three_versions(&ServerOptions::default().admin(Admin::SamePort));
    let path = |change: &str| format!("{MODEL}/{change}");
    let change = |change: &str, body: Value| request(&server, "POST", &path(change), &body);
    assert_eq!(change("unload", Value::Null), (200, String::new()));
    assert_eq!(server.infer("late", all_inputs()).0, 503);
    // The model was unloaded on purpose: the server is ready.
    assert_eq!(server.get("/v2/health/ready").0, 200);
    assert_eq!(change("load", json!({})), (200, String::new()));
    assert_eq!(answers(&server), "3");
    assert_eq!(
        change("load", json!({"parameters": {"config": "{}"}})).0,
        400
    );
    assert_eq!(change("load", json!([1])).0, 400);
    let (status, body) = request(
        &server,
        "POST",
        "/v2/repository/models/lat/load",
        &json!({}),
    );
    assert_eq!(status, 404);
    assert!(body.contains("did you mean `late`"), "{body}");
    assert_eq!(request(&server, "GET", &path("load"), &Value::Null).0, 405);
}

#[test]
fn a_version_is_rolled_back() {
    let server = three_versions(&ServerOptions::default().admin(Admin::SamePort));
    let rollback = format!("{MODEL}/rollback");
    let roll_back = || request(&server, "POST", &rollback, &Value::Null);
    assert_eq!(answers(&server), "3");
    assert_eq!(
        roll_back(),
        (200, r#"{"name":"late","version":"2"}"#.to_owned())
    );
    assert_eq!(answers(&server), "2");
    assert_eq!(roll_back().0, 200);
    assert_eq!(answers(&server), "1");
    assert_eq!(roll_back().0, 404);
    assert_eq!(answers(&server), "1");
}

#[test]
fn labels_and_traffic_are_set() {
    let server = three_versions(&ServerOptions::default().admin(Admin::SamePort));
    let set = |what: &str, body: Value| request(&server, "PUT", &format!("{MODEL}/{what}"), &body);
    assert_eq!(set("labels/canary", json!({"version": 3})).0, 200);
    assert_eq!(set("labels/stable", json!({"version": 1})).0, 200);
    assert_eq!(set("labels/stable", json!({"version": 9})).0, 404);
    assert_eq!(set("labels/stable", json!({"versio": 1})).0, 400);
    assert_eq!(
        server.get(&format!("{MODEL}/labels")).1,
        json!({"name": "late", "labels": {"canary": 3, "stable": 1}})
    );
    let body = json!({"inputs": all_inputs()});
    let version = |path: &str| server.post(path, &body).1["model_version"].clone();
    assert_eq!(answers(&server), "1");
    assert_eq!(version("/v2/models/late/labels/canary/infer"), "3");
    assert_eq!(version("/v2/models/late/labels/stable/infer"), "1");
    assert_eq!(
        server.post("/v2/models/late/labels/none/infer", &body).0,
        404
    );
    // Every key has its version, and keeps it.
    let shares = json!([{"to": "stable", "weight": 1}, {"to": 3, "weight": 1}]);
    assert_eq!(
        set("traffic", json!({"by": "key", "shares": shares})).0,
        200
    );
    let of_key = |key: usize| {
        let headers = [("X-Routing-Key", key.to_string())];
        let headers = headers.each_ref().map(|(name, key)| (*name, key.as_str()));
        let bytes = body.to_string();
        let answer = server.send("/v2/models/late/infer", &headers, bytes.as_bytes());
        answer.headers()["fourfold-model-version"]
            .to_str()
            .unwrap()
            .to_owned()
    };
    let first: Vec<String> = (0..40).map(of_key).collect();
    assert_eq!((0..40).map(of_key).collect::<Vec<_>>(), first);
    assert!(first.contains(&"1".to_owned()) && first.contains(&"3".to_owned()));
    let delete = |what: &str| request(&server, "DELETE", &format!("{MODEL}/{what}"), &Value::Null);
    assert_eq!(delete("traffic").0, 200);
    assert_eq!(delete("labels/canary").0, 200);
    assert_eq!(delete("labels/canary").0, 404);
    assert_eq!(set("traffic", json!({"shares": []})).0, 400);
}

#[test]
fn admin_routes_are_off_or_elsewhere() {
    let server = three_versions(&ServerOptions::default());
    for change in ["load", "unload", "rollback"] {
        let path = format!("{MODEL}/{change}");
        assert_eq!(request(&server, "POST", &path, &Value::Null).0, 404);
    }
    assert!(server.handle.as_ref().unwrap().admin_address().is_none());

    let own = Admin::Address("127.0.0.1:0".to_owned());
    let mut server = three_versions(&ServerOptions::default().admin(own));
    let rollback = format!("{MODEL}/rollback");
    assert_eq!(request(&server, "POST", &rollback, &Value::Null).0, 404);
    let admin = server.handle.as_ref().unwrap().admin_address().unwrap();
    server.url = format!("http://{admin}");
    assert_eq!(server.post(&rollback, &json!({})).0, 200);
    assert_eq!(server.post("/v2/repository/index", &json!({})).0, 200);
    assert_eq!(server.get("/v2/health/live").0, 200);
    assert_eq!(server.infer("late", all_inputs()).0, 404);
}

#[test]
fn other_sites_change_nothing() {
    let options = ServerOptions::default()
        .admin(Admin::SamePort)
        .admin_hosts(["models.internal"]);
    let server = three_versions(&options);
    let unload = |headers: &str| {
        let mut connection = server.connect();
        let head = format!(
            "POST {MODEL}/unload HTTP/1.1\r\nConnection: close\r\n{headers}Content-Length: 0\r\n\r\n"
        );
        connection.write_all(head.as_bytes()).unwrap();
        rest(&mut connection)
    };
    for headers in [
        "Host: evil.example\r\n",
        "Host: localhost\r\nOrigin: https://evil.example\r\n",
        "Host: localhost\r\nOrigin: null\r\n",
    ] {
        let answer = unload(headers);
        assert!(answer.starts_with("HTTP/1.1 403"), "{headers}: {answer}");
        assert_eq!(answers(&server), "3");
    }
    // Predictions are answered under any host name.
    let body = json!({"inputs": all_inputs()}).to_string();
    let headers = [("Host", "evil.example")];
    assert_eq!(
        server
            .send("/v2/models/late/infer", &headers, body.as_bytes())
            .status(),
        200
    );
    assert!(unload("Host: models.internal:80\r\n").starts_with("HTTP/1.1 200"));

    // Who has a token is no page of another site.
    let tokens = crate::serving::transport::BearerToken::new(["a long token"]);
    let server = three_versions(&ServerOptions::default().admin(Admin::SamePort).auth(tokens));
    let mut connection = server.connect();
    let head = format!(
        "POST {MODEL}/unload HTTP/1.1\r\nHost: models.example\r\nAuthorization: Bearer a long token\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).unwrap();
    assert!(rest(&mut connection).starts_with("HTTP/1.1 200"));
}

#[test]
fn what_is_no_change_is_refused_and_says_why() {
    let server = three_versions(&ServerOptions::default().admin(Admin::SamePort));
    let put = |what: &str, body: Value| request(&server, "PUT", &format!("{MODEL}/{what}"), &body);
    for body in [
        json!([3]),
        json!(3),
        json!({"version": [3]}),
        json!({"version": 3, "x": 1}),
    ] {
        assert_eq!(put("labels/canary", body.clone()).0, 400, "{body}");
    }
    assert_eq!(put("traffic", json!(["key", [["stable", 1]]])).0, 400);
    let (status, answer) = put(
        &format!("labels/{}", "a".repeat(129)),
        json!({"version": 3}),
    );
    assert_eq!(status, 400);
    assert!(
        answer.contains("128 bytes") && answer.len() < 400,
        "{answer}"
    );
    assert_eq!(
        put(
            &format!("labels/{}", "a".repeat(128)),
            json!({"version": 3})
        )
        .0,
        200
    );

    let server = Running::with(&ServerOptions::default().admin(Admin::SamePort), |root| {
        late_model("late", 0.1).save(&root.join("late/1")).unwrap();
        fs::write(root.join("late/1/manifest.json"), "{}").unwrap();
    });
    let (status, answer) = request(&server, "POST", &format!("{MODEL}/load"), &Value::Null);
    assert_eq!(status, 400);
    assert!(
        answer.contains("was changed after it was written"),
        "{answer}"
    );
}
