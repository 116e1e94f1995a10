use serde_json::json;

use super::super::platform::Platform;
use super::*;

#[tokio::test]
async fn metadata_are_asked_for_without_content_type() {
    let mut platform =
        Platform::answering([(200, r#"{"schemaVersion":1,"plan":{"code":"a","label":"b"},"x":1}"#)]).await;
    let shown = platform.intelligence().inspector_metadata().await;
    assert_eq!(shown, Some(json!({"schemaVersion": 1, "plan": {"code": "a", "label": "b"}})));
    let asked = platform.asked().await;
    assert_eq!(asked.call, "GET /api/inspector/metadata");
    assert_eq!(asked.headers, ["authorization: Bearer cpk-secret"]);
}

#[tokio::test]
async fn missing_metadata_are_silence() {
    let script = [(204, ""), (404, "{}"), (500, "{}"), (200, "x"), (200, "")];
    let intelligence = Platform::answering(script).await.intelligence();
    for _ in script {
        assert_eq!(intelligence.inspector_metadata().await, None);
    }
}

#[tokio::test]
async fn learning_is_asked_for_by_page_and_container() {
    let snapshot = learning::tests::snapshot();
    let body = snapshot.to_string();
    let mut platform = Platform::answering([(200, &*body), (200, &body), (200, "{}"), (404, "")]).await;
    let page = LearningPage { agent_id: Some("a b".to_owned()), skills_page: Some(2), insights_page: Some(3) };
    let intelligence = platform.configured(|builder| builder.learning_container("sales-emea"));
    assert_eq!(intelligence.inspector_learning(&page).await, Ok(snapshot));
    let asked = platform.asked().await;
    let path = "GET /api/inspector/learning?agentId=a+b&skillsPage=2&insightsPage=3&runtimeContainerId=sales-emea";
    assert_eq!(asked.call, path);
    assert_eq!(asked.headers, ["authorization: Bearer cpk-secret"]);
    let intelligence = platform.intelligence();
    assert!(intelligence.inspector_learning(&LearningPage::default()).await.is_ok());
    assert_eq!(platform.asked().await.call, "GET /api/inspector/learning");
    let malformed = intelligence.inspector_learning(&LearningPage::default()).await;
    assert!(matches!(malformed, Err(PlatformError::Malformed(_))));
    let absent = intelligence.inspector_learning(&LearningPage::default()).await.unwrap_err();
    assert_eq!(absent.status(), Some(404));
}
