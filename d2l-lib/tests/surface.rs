//! What is public is documented, shown by an example, and checked: read from the source itself,
//! so that nothing can be added without. The code of the chapters is left to the book.

use std::{fs, path::Path};

/// A public item as the source has it.
struct Item {
    file: String,
    line: usize,
    kind: String,
    name: String,
    doc: String,
    attributes: String,
    body: String,
}

impl Item {
    fn place(&self) -> String {
        format!("src/{}:{} {}", self.file, self.line, self.name)
    }
}

fn source_files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("src/book") {
                source_files(&path, found);
            }
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The name and kind of what a line declares, also inside the macros that declare many.
fn declared(line: &str, before: &str) -> Option<(String, String)> {
    let words = line.trim_start();
    let ident = |text: &str| {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$');
        text[..end.unwrap_or(text.len())].to_owned()
    };
    if let Some(rest) = words.strip_prefix("pub ") {
        let rest = rest.trim_start_matches("const fn ").trim_start_matches("fn ");
        for kind in ["struct ", "enum ", "trait ", "static ", "const ", "type "] {
            if let Some(name) =
                words.strip_prefix("pub ").and_then(|w| w.strip_prefix(kind))
            {
                if kind == "const " && name.starts_with("fn ") {
                    continue;
                }
                return Some((kind.trim().to_owned(), ident(name)));
            }
        }
        let is_fn = words.starts_with("pub fn ") || words.starts_with("pub const fn ");
        return is_fn.then(|| ("fn".to_owned(), ident(rest)));
    }
    // `    exp: |x| …` and `    eq: ==;` under a doc comment, in a macro's table.
    let (name, rest) = words.split_once(": ")?;
    let in_a_table = rest.starts_with(['|', '=', '!', '<', '>']);
    (in_a_table && before.trim_start().starts_with("///") && ident(name) == name)
        .then(|| ("fn".to_owned(), name.to_owned()))
}

fn items() -> Vec<Item> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    source_files(&root, &mut files);
    files.sort();
    let mut items = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        // Not where only a file of tests is named, below which more may stand.
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let before = if i == 0 { "" } else { lines[i - 1] };
            let Some((kind, name)) = declared(line, before) else { continue };
            // Upwards over attributes and comments to a blank line or the end of other code.
            let above = lines[..i].iter().rev().take_while(|line| {
                let line = line.trim();
                !line.is_empty()
                    && !line.ends_with(['{', '}', ';'])
                    && !line.starts_with("//!")
                    || line.starts_with("///")
                    || line.starts_with("#[doc")
            });
            let (mut doc, mut attributes) = (Vec::new(), Vec::new());
            for line in above {
                let line = line.trim();
                if line.starts_with("///") || line.starts_with("#[doc = concat!") {
                    doc.push(line);
                } else {
                    attributes.push(line);
                }
            }
            doc.reverse();
            let indent = line.len() - line.trim_start().len();
            let end = format!("{}}}", " ".repeat(indent));
            let body = lines[i..].iter().take_while(|line| **line != end);
            items.push(Item {
                file: path.strip_prefix(&root).unwrap().display().to_string(),
                line: i + 1,
                kind,
                name,
                doc: doc.join("\n"),
                attributes: attributes.join("\n"),
                body: body.copied().collect::<Vec<_>>().join("\n"),
            });
        }
    }
    assert!(items.len() > 350, "only {} items were found", items.len());
    items
}

/// Items that no example can call by themselves.
const WITHOUT_EXAMPLE: &[&str] = &[
    // What a notebook calls on the last value of a cell.
    "evcxr_display",
];

/// Asserts that no public item is wrong; `what` says what the wrong ones are told.
#[track_caller]
fn none(what: &str, is_wrong: impl Fn(&Item) -> bool) {
    let wrong: Vec<String> =
        items().iter().filter(|item| is_wrong(item)).map(Item::place).collect();
    assert!(wrong.is_empty(), "{what}:\n{}", wrong.join("\n"));
}

#[test]
fn public_items_have_an_example() {
    none("no example", |item| {
        !item.attributes.contains("doc(hidden)")
            && !item.name.starts_with('$')
            && !item.file.starts_with("plot")
            && !WITHOUT_EXAMPLE.contains(&&*item.name)
            && !item.doc.contains("```")
    });
}

/// Displays show something and give nothing back; what they write is tested in `display.rs`.
const ASSERTS_NOTHING: &[&str] = &["display.rs", "interrupt.rs", "progress.rs"];

#[test]
fn examples_assert_something() {
    none("the example asserts nothing", |item| {
        let shown = item.doc.contains("```") && !item.file.starts_with("plot");
        shown && !ASSERTS_NOTHING.contains(&&*item.file) && !item.doc.contains("assert")
    });
}

#[test]
fn functions_that_panic_say_so_and_point_at_their_caller() {
    let mut wrong = String::new();
    for item in items().iter().filter(|item| item.kind == "fn") {
        let code = item.body.lines().filter(|line| !line.trim_start().starts_with("//"));
        let panics = code.into_iter().any(|line| {
            line.contains("assert!(")
                || line.contains("assert_eq!(")
                || line.contains("panic!(")
        });
        if panics && !item.attributes.contains("track_caller") {
            wrong += &format!("{} lacks #[track_caller]\n", item.place());
        }
        if panics && !item.doc.contains("# Panics") {
            wrong += &format!("{} lacks `# Panics`\n", item.place());
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Functions whose type parameters all of their code is about.
const ABOUT_TYPES: &[&str] = &["check_gradients", "with_ndarray", "from_ndarray_owned"];

#[test]
fn functions_with_type_parameters_only_convert() {
    let generic = |name: &str, signature: &str| {
        let (_, after) = signature.split_once(name).unwrap_or_default();
        let of = |list: &str| list.split(',').any(|own| !own.trim().starts_with('\''));
        let list = after.strip_prefix('<').and_then(|rest| rest.split_once('>'));
        list.is_some_and(|(list, _)| of(list)) || signature.contains("impl ")
    };
    none(
        "every cell that calls it compiles all of it: \
         convert, and call a function without type parameters",
        |item| {
            let open = item.body.lines().position(|line| line.trim_end().ends_with('{'));
            let lines: Vec<&str> = item.body.lines().collect();
            let (signature, code) = lines.split_at(open.map_or(lines.len(), |at| at + 1));
            let signature = signature.join(" ");
            let signature = signature.split("->").next().unwrap_or_default();
            item.kind == "fn"
                && item.body.trim_start().starts_with("pub ")
                && generic(&item.name, signature)
                && (code.len() > 6 || code.iter().any(|line| line.contains("T => ")))
                && !ABOUT_TYPES.contains(&&*item.name)
        },
    );
}

/// Whether words say which axes or elements a tensor has: by a word for them, or by a shape as
/// `(n, c, h, w)`.
fn tells_shapes(words: &str) -> bool {
    const WORDS: &[&str] = &[
        "shape",
        "shapes",
        "axis",
        "axes",
        "element",
        "elements",
        "row",
        "rows",
        "column",
        "columns",
        "vector",
        "vectors",
        "matrix",
        "matrices",
        "broadcast",
        "broadcasts",
    ];
    let named =
        words.split(|c: char| !c.is_alphabetic()).any(|word| WORDS.contains(&word));
    let written = words.split("`(").skip(1).any(|rest| {
        let shape = rest.split(')').next().unwrap_or_default();
        let fits = |c: char| c.is_alphanumeric() || "_,· …'".contains(c);
        !shape.is_empty() && shape.chars().all(fits)
    });
    named || written
}

/// A declaration up to its body.
fn signature(item: &Item) -> &str {
    item.body.split('{').next().unwrap_or_default()
}

#[test]
fn functions_of_tensors_tell_shapes() {
    assert!(tells_shapes("Slides over images `(n, c, h, w)`."));
    assert!(!tells_shapes("The mean of `(a - b)²`."), "this says nothing of shapes");
    none("not a word about shapes", |item| {
        // In macros' tables stand only functions of tensors, without their signatures.
        let of_tensors =
            signature(item).contains("Tensor") || !signature(item).contains("fn ");
        // Every second part is an example.
        let words: String = item.doc.split("```").step_by(2).collect();
        item.kind == "fn"
            && of_tensors
            && !item.attributes.contains("doc(hidden)")
            && !item.name.starts_with('$')
            && !tells_shapes(&words)
    });
}

/// Parameters of which some are wrong for every tensor.
const CAN_BE_WRONG: &[&str] = &[
    "axis: i64",
    "Into<Axes>",
    "Into<Shape>",
    "Into<TargetShape>",
    "Into<Index>",
    "Into<Parameters>",
];

#[test]
fn functions_with_axes_shapes_or_indices_say_when_they_panic() {
    none("lack `# Panics`", |item| {
        item.kind == "fn"
            && !item.name.starts_with('$')
            && CAN_BE_WRONG.iter().any(|one| signature(item).contains(one))
            && !item.doc.contains("# Panics")
    });
}

/// What PyTorch's numbers cannot check, or need not, and what does instead.
const NOT_BY_PYTORCH: &[(&str, &[&str])] = &[
    (
        "views, copies and properties, checked by index against plain vectors (layouts.rs, \
         tensors.rs) and by their examples",
        &[
            "shape",
            "ndim",
            "device",
            "to_device",
            "same_storage",
            "is_contiguous",
            "to_vec_u8",
            "to_vec_i64",
            "to_vec_bool",
            "to_vec_of",
            "to_ndarray",
            "with_ndarray",
            "from_ndarray",
            "from_ndarray_owned",
            "allclose",
            "item",
            "equal",
            "tensor",
            "to_vec_f64",
            "tensor_f64",
            "to_vec",
        ],
    ),
    (
        "random, checked by the distribution (distributions.rs)",
        &[
            "randn",
            "normal",
            "rand",
            "randint",
            "randperm",
            "bernoulli",
            "multinomial",
            "exponential",
            "poisson",
            "shuffle",
        ],
    ),
    (
        "files, written and read in the tests of file.rs",
        &["save", "load", "save_named", "load_named"],
    ),
];

/// Whether `name` is called, as a method or by a path, or handed to a macro of reductions.
fn calls(test: &str, name: &str) -> bool {
    let patterns = [
        format!(".{name}("),
        format!("::{name}("),
        format!("({name}, "),
        format!(", {name}_axis"),
    ];
    patterns.iter().any(|pattern| test.contains(pattern))
        || ["_axis", "_keepdim"].iter().any(|end| {
            name.strip_suffix(end).is_some_and(|op| {
                test.contains(&format!("({op}, {op}_axis, {op}_keepdim)"))
            })
        })
}

#[test]
fn operations_are_checked_against_pytorch() {
    let tests = [include_str!("torch.rs"), include_str!("training.rs")].concat();
    let excused: Vec<&str> =
        NOT_BY_PYTORCH.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    let operations = items().into_iter().filter(|item| {
        item.kind == "fn"
            && item.file.starts_with("tensor")
            && !item.name.starts_with('$')
    });
    let names: Vec<String> = operations.map(|item| item.name).collect();
    for name in &excused {
        assert!(names.iter().any(|own| own == name), "{name} is no operation any more");
    }
    let mut lacks: Vec<&String> = names
        .iter()
        .filter(|name| !excused.contains(&&***name) && !calls(&tests, name))
        .collect();
    lacks.sort();
    lacks.dedup();
    assert!(lacks.is_empty(), "no fixture of PyTorch's uses {lacks:?}");
}

/// Layers that compute nothing of their own.
const STRUCTURE: &[&str] = &[
    "Sequential",
    "Parameters",
    "Parameter",
    "Parts",
    "Mode",
    "Pair",
    // Random: distributions.rs.
    "Dropout",
];

#[test]
fn layers_losses_and_optimizers_are_checked_against_pytorch() {
    let test = include_str!("training.rs");
    let mut lacks = Vec::new();
    for item in items() {
        let layer = item.file.starts_with("nn") && item.kind == "struct";
        let loss = item.file == "nn/loss.rs" && item.kind == "fn";
        let rule = item.file.starts_with("optim") && item.kind == "struct";
        let schedule = item.file == "optim/schedule.rs" && item.kind == "fn";
        let clip = item.file == "optim/clip.rs" && item.kind == "fn";
        if item.name.starts_with('$') || STRUCTURE.contains(&&*item.name) {
            continue;
        }
        let used = match (layer, loss, rule, schedule || clip) {
            (true, ..) => test.contains(&format!("nn::{}", item.name)),
            (_, true, ..) => test.contains(&format!("nn::{}(", item.name)),
            (.., true, _) => test.contains(&format!("{}::", item.name)),
            (.., true) => {
                calls(test, &item.name) || test.contains(&format!("{}([", item.name))
            }
            _ => true,
        };
        if !used {
            lacks.push(item.place());
        }
    }
    assert!(lacks.is_empty(), "no fixture of PyTorch's uses\n{}", lacks.join("\n"));
}

/// Functions of integers, of truth, or of nothing, and those whose gradient is 0 or refused.
const WITHOUT_GRADIENT: &[&str] = &[
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "equal",
    "allclose",
    "all",
    "any",
    "sign",
    "argmax",
    "argmin",
    "argsort",
    "unique",
    "bincount",
    "one_hot",
    "nonzero",
    "zeros",
    "ones",
    "full",
    "zeros_like",
    "ones_like",
    "eye",
    "arange",
    "arange_step",
    "linspace",
    "step_by",
    "fill_",
    "copy_",
    "add_",
    "sub_",
    "mul_",
    "div_",
    "set",
    "shape",
    "len_of",
    "numel",
    "ndim",
    "dtype",
    "item",
    "eval",
    "tensor",
    "to_vec_f64",
    // Decompositions, which pass on no gradient and say so.
    "cholesky",
    "eigh",
    "svd",
];

#[test]
fn operations_are_checked_by_finite_differences() {
    let tests = [include_str!("gradients.rs"), include_str!("networks.rs")].concat();
    let excused: Vec<&str> =
        NOT_BY_PYTORCH.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    let mut lacks: Vec<String> = items()
        .into_iter()
        .filter(|item| {
            item.kind == "fn"
                && item.file.starts_with("tensor")
                && !item.name.starts_with('$')
        })
        .map(|item| item.name)
        .filter(|name| {
            !WITHOUT_GRADIENT.contains(&&**name) && !excused.contains(&&**name)
        })
        .filter(|name| {
            let op = name.trim_end_matches("_axis").trim_end_matches("_keepdim");
            !["", "_axis", "_keepdim"]
                .iter()
                .any(|end| calls(&tests, &format!("{op}{end}")))
        })
        .collect();
    lacks.sort();
    lacks.dedup();
    assert!(lacks.is_empty(), "finite differences check none of {lacks:?}");
}
