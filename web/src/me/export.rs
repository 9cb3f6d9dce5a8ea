//! What a person can take along: all that is the person's in any service, as one ZIP file of JSON, and of CSV for spreadsheets.

use std::io::{Cursor, Write};

use actix_web::{
    HttpResponse,
    http::header::{CACHE_CONTROL, CONTENT_DISPOSITION},
    web,
};
use proto::accounts::ExportAccountRequest;
use serde_json::{Map, Value, json};
use zip::{ZipWriter, result::ZipError, write::SimpleFileOptions};

use super::Own;
use crate::{
    VisitorSource,
    actors::recommendations_gateway::GetKeywords,
    page_error::PageError,
    request_context::{DEADLINE, RequestContext},
};

const README: &str = "This is all that Marquee keeps of you. Each .json file has it as programs read it, and each .csv file the \
    same as a table. In the tables a text that a spreadsheet would take for a formula begins with an apostrophe.\r\n";

/// GET `/me/export`. It fails as a whole if a service does not answer: a part would look like all.
pub(crate) async fn download(context: RequestContext) -> Result<HttpResponse, PageError> {
    let mut parts = Map::new();
    if !matches!(context.site.app.visitors, VisitorSource::Open(_)) {
        let own = Own::of(&context)?;
        let user_id = own.id().0;
        let exported = own.ask(ExportAccountRequest { user_id }).await?;
        let exported: Value = serde_json::from_str(&exported.json).unwrap_or_default();
        if let Value::Object(exported) = exported {
            parts.extend(exported);
        }
    }
    let user = context.user()?;
    let recommendations = &context.site.app.recommendations;
    let asked = recommendations.ask(GetKeywords(user), DEADLINE).await;
    let keywords = asked.unwrap_or_else(|e| Err(e.into()))?;
    let keywords = keywords.iter().map(
        |followed| json!({"keyword": followed.keyword, "matching_films": followed.matching_films}),
    );
    parts.insert("keywords".to_owned(), keywords.collect());
    let packed = web::block(move || pack(&parts)).await;
    let file = packed.ok().and_then(Result::ok).ok_or(PageError::Other(
        actix_web::http::StatusCode::INTERNAL_SERVER_ERROR,
    ))?;
    let named = "attachment; filename=\"marquee.zip\"";
    Ok(HttpResponse::Ok()
        .content_type("application/zip")
        .insert_header((CONTENT_DISPOSITION, named))
        .insert_header((CACHE_CONTROL, "no-store"))
        .body(file))
}

/// A ZIP file with two files for each part.
fn pack(parts: &Map<String, Value>) -> Result<Vec<u8>, ZipError> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default();
    zip.start_file("README.txt", options)?;
    zip.write_all(README.as_bytes())?;
    for (name, part) in parts {
        zip.start_file(format!("{name}.json"), options)?;
        let text = serde_json::to_vec_pretty(part).unwrap_or_default();
        zip.write_all(&text)?;
        zip.start_file(format!("{name}.csv"), options)?;
        zip.write_all(table(part).as_bytes())?;
    }
    Ok(zip.finish()?.into_inner())
}

/// An object, or a list of objects, as CSV by RFC 4180: the first row has the names.
fn table(part: &Value) -> String {
    let rows: Vec<&Map<String, Value>> = match part {
        Value::Array(rows) => rows.iter().filter_map(Value::as_object).collect(),
        Value::Object(row) => vec![row],
        _ => Vec::new(),
    };
    let mut names: Vec<&str> = Vec::new();
    for name in rows.iter().flat_map(|row| row.keys()) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let line = |cells: Vec<String>| format!("{}\r\n", cells.join(","));
    let mut table = line(names.iter().map(|name| cell(name)).collect());
    for row in rows {
        let value = |name: &&str| match row.get(*name) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => cell(text),
            Some(Value::Number(number)) => number.to_string(),
            Some(other) => cell(&other.to_string()),
        };
        table.push_str(&line(names.iter().map(value).collect()));
    }
    table
}

/// A text in a table. Some of them come from others, such as what a browser calls itself, and a spreadsheet must not run them.
fn cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = match is_formula {
        true => format!("'{text}"),
        false => text.to_owned(),
    };
    match text.contains(['"', ',', '\r', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_becomes_a_table_with_all_names() {
        let list = json!([
            {"films": 3, "keyword": "a \"b\", c"},
            {"keyword": "two\nlines", "more": [1, 2]},
        ]);
        let rows = [
            "films,keyword,more",
            "3,\"a \"\"b\"\", c\",",
            ",\"two\nlines\",\"[1,2]\"",
            "",
        ];
        let expected = rows.join("\r\n");
        assert_eq!(table(&list), expected);
        assert_eq!(table(&json!({"id": 7, "none": null})), "id,none\r\n7,\r\n");
        assert_eq!(table(&json!("text")), "\r\n");
    }

    #[test]
    fn no_cell_is_a_formula() {
        for text in ["=1+1", "+1", "-1", "@a", "\t=1"] {
            assert_eq!(cell(text), format!("'{text}"));
        }
        assert_eq!(cell("a=1"), "a=1");
        assert_eq!(cell("=\"1\""), "\"'=\"\"1\"\"\"");
    }
}
