//! What must not compile, with the words that it is refused with.

#[test]
fn what_is_missing_or_does_not_fit_is_named() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/complete.rs");
    for case in [
        "missing_data",
        "missing_train",
        "missing_evaluate",
        "missing_serve",
        "validator_of_another_model",
        "server_of_another_model",
        "not_a_trainer",
        "deploy_unvalidated",
    ] {
        cases.compile_fail(format!("tests/ui/{case}.rs"));
    }
}
