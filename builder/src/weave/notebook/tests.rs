use super::*;

const CONFIG: &str = "title = \"T\"\n[[chapter]]\npath = \"ch\"\nsections = [\"one\"]\n";

const ONE: &str = "\
# One $x$
:label:`one`

Text with a_b, *stress*, $a < b$, :numref:`ch` and :cite:`bishop`.

## Part

$$
y
$$
:eqlabel:`eq`

```rust
//#@save train
pub fn f() -> i32 { 1 }
```

```rust,fails=\"E0382\"
let x = \"a\";
```
";

const BIB: &str =
    "@book{bishop, author = {Bishop, C.}, title = {B}, publisher = {S}, year = 2006}";

fn notebook() -> Value {
    notebook_of(CONFIG)
}

fn notebook_of(config: &str) -> Value {
    let texts = [("ch/index", "# Chapter\n:label:`ch`\n"), ("ch/one", ONE)];
    let (book, _) = Book::from_texts(config, &texts, Some(BIB)).unwrap();
    let outputs = vec![
        vec![
            Output::Stream { name: "stdout".into(), text: "a\nb\n".into() },
            Output::Result { data: [("text/plain".to_owned(), "1".to_owned())].into() },
        ],
        vec![Output::Error {
            name: "E0382".into(),
            message: "m".into(),
            text: "x\ny".into(),
        }],
    ];
    let outputs = vec![SectionOutputs::default(), SectionOutputs { cells: outputs }];
    serde_json::from_slice(&weave(&book, &outputs, 1)).unwrap()
}

fn source(cell: &Value) -> String {
    cell["source"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect()
}

#[test]
fn text_is_markdown_with_references_resolved() {
    let notebook = notebook();
    let cells = notebook["cells"].as_array().unwrap();
    let kinds: Vec<&str> =
        cells.iter().map(|c| c["cell_type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["markdown", "markdown", "code", "code", "markdown"]);
    assert_eq!(
        source(&cells[0]),
        "# 1.1 One $x$\n\nText with a\\_b, *stress*, $a < b$, [Chapter 1](../ch/index.ipynb) \
         and (Bishop, 2006)."
    );
    assert_eq!(source(&cells[1]), "## 1.1.1 Part\n\n$$\ny \\tag{1.1.1}\n$$");
    assert!(source(&cells[4]).starts_with("## References\n\n- Bishop, C. (2006)"));
}

#[test]
fn cells_keep_their_marker_and_their_outputs() {
    let notebook = notebook();
    let cell = &notebook["cells"][2];
    assert_eq!(source(cell), "//#@save train\npub fn f() -> i32 { 1 }");
    assert_eq!(cell["execution_count"], 1);
    assert_eq!(
        cell["outputs"],
        json!([
            { "output_type": "stream", "name": "stdout", "text": ["a\n", "b\n"] },
            { "output_type": "execute_result", "execution_count": 1,
              "data": { "text/plain": ["1"] }, "metadata": {} },
        ])
    );
    let failing = &notebook["cells"][3];
    assert_eq!(failing["metadata"]["tags"], json!(["raises-exception"]));
    assert_eq!(failing["outputs"][0]["traceback"], json!(["x", "y"]));
}

#[test]
fn outputs_are_stripped_if_the_book_says_so() {
    let config = format!("{CONFIG}[notebooks]\noutputs = \"stripped\"\n");
    let stripped = notebook_of(&config);
    let cell = &stripped["cells"][2];
    assert_eq!((&cell["outputs"], &cell["execution_count"]), (&json!([]), &Value::Null));
    assert_eq!(source(cell), source(&notebook()["cells"][2]));
}

#[test]
fn a_notebook_says_which_version_made_it() {
    assert_eq!(notebook()["metadata"]["d2l"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn ids_are_unique_and_as_nbformat_asks() {
    let notebook = notebook();
    assert_eq!(notebook["nbformat_minor"], 5);
    let mut ids: Vec<&str> = notebook["cells"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["id"].as_str().unwrap())
        .collect();
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    assert!(
        ids.iter().all(|id| (1..=64).contains(&id.len()) && id.chars().all(fine)),
        "{ids:?}"
    );
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

#[test]
fn the_zip_holds_every_notebook_and_no_times() {
    let files = [OutFile { path: "ch/one.ipynb".into(), bytes: b"{}".to_vec() }];
    let bytes = zip(&files);
    assert_eq!(bytes, zip(&files));
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
    let names: Vec<String> = archive.file_names().map(str::to_owned).collect();
    assert_eq!(names, ["ch/one.ipynb"]);
    let mut text = String::new();
    std::io::Read::read_to_string(&mut archive.by_index(0).unwrap(), &mut text).unwrap();
    assert_eq!(text, "{}");
}
