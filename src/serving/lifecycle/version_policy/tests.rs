use super::*;

#[test]
fn what_policies_load() {
    let none = BTreeSet::new();
    let bad = BTreeSet::from([7]);
    let found = [2, 3, 5, 7];
    for (policy, rolled_back, aspired) in [
        (VersionPolicy::Latest(1), &none, &[7][..]),
        (VersionPolicy::Latest(1), &bad, &[5]),
        (VersionPolicy::Latest(3), &none, &[3, 5, 7]),
        (VersionPolicy::Latest(9), &bad, &[2, 3, 5]),
        (VersionPolicy::All, &none, &[2, 3, 5, 7]),
        (VersionPolicy::All, &bad, &[2, 3, 5]),
        (VersionPolicy::Specific(vec![]), &none, &[]),
        (VersionPolicy::Specific(vec![7, 3, 3, 4]), &none, &[3, 7]),
        (VersionPolicy::Specific(vec![7, 3]), &bad, &[3]),
    ] {
        assert_eq!(policy.aspired(&found, rolled_back), aspired, "{policy:?}");
        let backwards: Vec<u64> = found.iter().rev().copied().collect();
        assert_eq!(
            policy.aspired(&backwards, rolled_back),
            aspired,
            "{policy:?}"
        );
        assert_eq!(policy.aspired(&[], rolled_back), [] as [u64; 0]);
    }
}

#[test]
fn files_say_it_plainly() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct File {
        versions: VersionPolicy,
    }
    for (toml, json, policy) in [
        (
            "{ latest = 2 }",
            r#"{"latest":2}"#,
            VersionPolicy::Latest(2),
        ),
        (r#""all""#, r#""all""#, VersionPolicy::All),
        (
            "{ specific = [3, 5] }",
            r#"{"specific":[3,5]}"#,
            VersionPolicy::Specific(vec![3, 5]),
        ),
    ] {
        let file: File = toml::from_str(&format!("versions = {toml}")).unwrap();
        assert_eq!(file.versions, policy);
        assert_eq!(serde_json::to_string(&policy).unwrap(), json);
        assert_eq!(serde_json::from_str::<VersionPolicy>(json).unwrap(), policy);
    }
    assert!(serde_json::from_str::<VersionPolicy>(r#"{"newest":2}"#).is_err());
    let error = VersionPolicy::Latest(0).check().unwrap_err();
    assert_eq!(
        error.to_string(),
        "version policy: `latest` is 0, must be at least 1"
    );
}
