//! The OpenAPI document, made from the routes' table and the types' schemas.

use utoipa::PartialSchema as _;
use utoipa::ToSchema;
use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn, PathItemBuilder};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ArrayBuilder, ComponentsBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::{
    ContentBuilder, HttpMethod, InfoBuilder, OpenApi, OpenApiBuilder, PathsBuilder, Ref, RefOr, Required,
    ResponseBuilder,
};

use crate::cluster;
use crate::control;
use crate::error::Problem;
use crate::job::view as job;
use crate::route::{Entry, Method, ROUTES};

/// The document of this version.
pub fn document() -> OpenApi {
    let mut paths = PathsBuilder::new();
    for entry in ROUTES {
        let method = match entry.method {
            Method::Get => HttpMethod::Get,
            Method::Post => HttpMethod::Post,
            Method::Put => HttpMethod::Put,
            Method::Delete => HttpMethod::Delete,
        };
        paths = paths
            .path(entry.path, PathItemBuilder::new().operation(method, operation(entry).build()).build());
    }
    let info = InfoBuilder::new()
        .title("orca")
        .version(crate::VERSION)
        .description(Some("The control API of orcad, on the Unix socket /run/orca/orca.sock."))
        .build();
    OpenApiBuilder::new().info(info).paths(paths.build()).components(Some(components())).build()
}

fn operation(entry: &Entry) -> OperationBuilder {
    let mut operation = OperationBuilder::new()
        .operation_id(Some(format!("{:?}", entry.route)))
        .summary(Some(entry.summary))
        .description(Some(format!("Access: {:?}.", entry.access).to_lowercase()));
    for part in entry.path.split('/').filter_map(|p| p.strip_prefix('{')?.strip_suffix('}')) {
        operation = operation.parameter(
            ParameterBuilder::new()
                .name(part)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .description(Some("a name, or the beginning of an id (4 characters at least)"))
                .schema(Some(text())),
        );
    }
    for (name, meaning) in entry.query {
        operation = operation.parameter(
            ParameterBuilder::new()
                .name(*name)
                .parameter_in(ParameterIn::Query)
                .description(Some(*meaning))
                .schema(Some(text())),
        );
    }
    if !entry.request.is_empty() {
        let content = ContentBuilder::new().schema(Some(reference(entry.request))).build();
        operation = operation
            .request_body(Some(RequestBodyBuilder::new().content("application/json", content).build()));
    }
    let (media, schema) = match entry.answer {
        "text" => ("text/plain", text()),
        "events" => ("text/event-stream", reference("EventView")),
        "lines" => ("application/x-ndjson", reference("LogLine")),
        "upgrade" => ("application/octet-stream", text()),
        "object" => ("application/json", RefOr::T(Schema::Object(ObjectBuilder::new().build()))),
        name => ("application/json", answer(name)),
    };
    let status = if entry.answer == "upgrade" { "101" } else { "200" };
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let problem = ContentBuilder::new().schema(Some(reference("Problem"))).build();
    operation
        .response(status, ResponseBuilder::new().description("done").content(media, content).build())
        .response(
            "default",
            ResponseBuilder::new()
                .description("an error")
                .content("application/problem+json", problem)
                .build(),
        )
}

fn text() -> RefOr<Schema> {
    RefOr::T(Schema::Object(ObjectBuilder::new().schema_type(Type::String).build()))
}

fn reference(name: &str) -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(name))
}

/// `List<X>` becomes an object with `items`, `revision` and `continue`.
fn answer(name: &str) -> RefOr<Schema> {
    let Some(item) = name.strip_prefix("List<").and_then(|n| n.strip_suffix('>')) else {
        return reference(name);
    };
    let list = ObjectBuilder::new()
        .property("items", ArrayBuilder::new().items(reference(item)).build())
        .property("revision", ObjectBuilder::new().schema_type(Type::Integer).build())
        .property("continue", ObjectBuilder::new().schema_type(Type::String).build())
        .required("items")
        .required("revision");
    RefOr::T(Schema::Object(list.build()))
}

fn components() -> utoipa::openapi::Components {
    let mut all: Vec<(String, RefOr<Schema>)> = Vec::new();
    macro_rules! add {
        ($($t:ty),* $(,)?) => {$(
            all.push((<$t as ToSchema>::name().into_owned(), <$t>::schema()));
            <$t as ToSchema>::schemas(&mut all);
        )*};
    }
    add!(
        control::StartTask,
        control::StopTask,
        control::RestartTask,
        control::SetAvailability,
        control::ExplainSpec,
        control::ExecTask,
        control::TaskView,
        control::TaskDetail,
        control::TaskAnswer,
        control::TaskStats,
        control::NodeView,
        control::NodeDetail,
        control::Explanation,
        control::EventView,
        control::LogLine,
        control::Status,
        control::VersionView,
        control::RolesView,
        cluster::CreateToken,
        cluster::SetCluster,
        cluster::SetLabels,
        cluster::IssueCertificate,
        cluster::StartWorker,
        cluster::StartManager,
        cluster::StopRole,
        cluster::TokenView,
        cluster::TokenAnswer,
        cluster::CertificateView,
        cluster::IssuedCertificate,
        cluster::ClusterView,
        cluster::DrainView,
        cluster::LinkView,
        cluster::NodeGone,
        job::RunJob,
        job::ScaleJob,
        job::RollbackJob,
        job::ActOnRollout,
        job::JobView,
        job::JobDetail,
        job::JobVersion,
        job::JobPlan,
        job::JobAnswer,
        Problem,
    );
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all.dedup_by(|a, b| a.0 == b.0);
    ComponentsBuilder::new().schemas_from_iter(all).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every schema that is named is there, and every route is in the document.
    #[test]
    fn the_document_is_complete() {
        let text = serde_json::to_string(&document()).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let schemas = value["components"]["schemas"].as_object().unwrap();
        for part in text.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name} is named and not there");
        }
        for entry in ROUTES {
            let item = &value["paths"][entry.path][entry.method.as_str().to_lowercase()];
            assert_eq!(item["operationId"], format!("{:?}", entry.route), "{}", entry.path);
        }
    }
}
