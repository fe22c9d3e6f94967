//! A table of columns: what a CSV file holds, before it becomes tensors.

use std::{fmt, io::Read, path::Path};

use crate::{DType, FileError, Shape, Tensor, display};

/// Columns of one length with names: numbers or text, with gaps.
///
/// ```
/// use d2l::data::Table;
///
/// let houses = Table::parse("rooms,roof,price\nNA,slate,127500\n2,NA,106000\n,tile,178100\n")?;
/// let inputs = houses.columns(&["rooms", "roof"]).fill_mean().one_hot();
/// assert_eq!(inputs.names(), ["rooms", "roof=slate", "roof=tile", "roof=?"]);
/// assert_eq!(inputs.to_tensor().shape(), [3, 4]);
/// # Ok::<(), d2l::FileError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    columns: Vec<(String, Column)>,
    num_rows: usize,
}

/// One column; `None` is a gap.
///
/// ```
/// use d2l::data::Column;
///
/// let column = Column::from(vec![1.0, 2.0]);
/// assert!(column.is_numeric());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// Numbers.
    Numbers(Vec<Option<f64>>),
    /// Text.
    Text(Vec<Option<String>>),
}

impl Column {
    fn len(&self) -> usize {
        match self {
            Column::Numbers(values) => values.len(),
            Column::Text(values) => values.len(),
        }
    }

    /// How many gaps there are.
    ///
    /// ```
    /// use d2l::data::Table;
    ///
    /// let houses = Table::parse("rooms,roof\n2,slate\n,\n4,tile\n")?;
    /// assert_eq!(houses.column("rooms").num_missing(), 1);
    /// # Ok::<(), d2l::FileError>(())
    /// ```
    pub fn num_missing(&self) -> usize {
        match self {
            Column::Numbers(values) => values.iter().filter(|v| v.is_none()).count(),
            Column::Text(values) => values.iter().filter(|v| v.is_none()).count(),
        }
    }

    /// Whether it holds numbers.
    ///
    /// ```
    /// use d2l::data::Table;
    ///
    /// let houses = Table::parse("rooms,roof\n2,slate\n,\n4,tile\n")?;
    /// assert!(houses.column("rooms").is_numeric() && !houses.column("roof").is_numeric());
    /// # Ok::<(), d2l::FileError>(())
    /// ```
    pub fn is_numeric(&self) -> bool {
        matches!(self, Column::Numbers(_))
    }

    fn select(&self, rows: &[usize]) -> Column {
        match self {
            Column::Numbers(values) => {
                Column::Numbers(rows.iter().map(|&row| values[row]).collect())
            }
            Column::Text(values) => {
                Column::Text(rows.iter().map(|&row| values[row].clone()).collect())
            }
        }
    }

    fn shown(&self, row: usize) -> String {
        match self {
            Column::Numbers(values) => {
                values[row].map_or("NA".to_owned(), |value| value.to_string())
            }
            Column::Text(values) => values[row].clone().unwrap_or("NA".to_owned()),
        }
    }
}

impl From<Vec<f64>> for Column {
    fn from(values: Vec<f64>) -> Column {
        Column::Numbers(values.into_iter().map(Some).collect())
    }
}

impl From<&Tensor> for Column {
    fn from(values: &Tensor) -> Column {
        values.to_vec_f64().into()
    }
}

/// A field that means a gap.
fn is_missing(field: &str) -> bool {
    matches!(field, "" | "NA" | "NaN" | "nan")
}

impl Table {
    /// The table in a CSV file, plain or gzipped. The first line names the columns. Columns
    /// whose fields are all numbers or gaps (nothing, `NA` or `NaN`) hold numbers.
    ///
    /// # Errors
    /// If the file cannot be read, or its lines differ in length.
    ///
    /// ```
    /// use d2l::data::Table;
    ///
    /// let path = std::env::temp_dir().join("d2l-doc.csv");
    /// std::fs::write(&path, "a,b\n1,2\n").unwrap();
    /// assert_eq!(Table::read_csv(&path)?.to_tensor().to_vec(), [1.0, 2.0]);
    /// # Ok::<(), d2l::FileError>(())
    /// ```
    pub fn read_csv(path: impl AsRef<Path>) -> Result<Table, FileError> {
        Table::read(path.as_ref())
    }

    fn read(path: &Path) -> Result<Table, FileError> {
        let bytes = std::fs::read(path).map_err(FileError::io(path))?;
        Table::from_bytes(&path.display().to_string(), &bytes, b',')
    }

    /// The table in the text of a CSV file.
    ///
    /// # Errors
    /// If its lines differ in length.
    ///
    /// ```
    /// use d2l::data::Table;
    ///
    /// let table = Table::parse("a,b\n1,x\n2,y\n")?;
    /// assert_eq!((table.num_rows(), table.names()), (2, vec!["a", "b"]));
    /// assert!(Table::parse("a,b\n1\n").is_err());
    /// # Ok::<(), d2l::FileError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Table, FileError> {
        Table::from_bytes("the text", text.as_bytes(), b',')
    }

    fn from_bytes(name: &str, bytes: &[u8], delimiter: u8) -> Result<Table, FileError> {
        let stream: Box<dyn Read + '_> = if bytes.starts_with(&[0x1F, 0x8B]) {
            Box::new(flate2::read::MultiGzDecoder::new(bytes))
        } else {
            Box::new(bytes)
        };
        let wrong = |error: csv::Error| FileError::format(name, error.to_string());
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .trim(csv::Trim::All)
            .from_reader(stream);
        let names: Vec<String> =
            reader.headers().map_err(wrong)?.iter().map(str::to_owned).collect();
        let mut fields = vec![Vec::new(); names.len()];
        for record in reader.records() {
            for (column, field) in fields.iter_mut().zip(&record.map_err(wrong)?) {
                column.push((!is_missing(field)).then(|| field.to_owned()));
            }
        }
        let num_rows = fields.first().map_or(0, Vec::len);
        let columns = names.into_iter().zip(fields.into_iter().map(typed)).collect();
        Ok(Table { columns, num_rows })
    }

    /// A table of these columns.
    ///
    /// # Panics
    /// If they differ in length.
    ///
    /// ```
    /// use d2l::data::{Column, Table};
    ///
    /// let table = Table::new(vec![("a".into(), Column::from(vec![1.0, 2.0]))]);
    /// assert_eq!(table.num_rows(), 2);
    /// ```
    #[track_caller]
    pub fn new(columns: Vec<(String, Column)>) -> Table {
        let num_rows = columns.first().map_or(0, |(_, column)| column.len());
        for (name, column) in &columns {
            assert!(
                column.len() == num_rows,
                "Table: column {name:?} has {} rows, the first has {num_rows}",
                column.len()
            );
        }
        Table { columns, num_rows }
    }

    /// This table and one more column, or another in place of the one with this name.
    ///
    /// # Panics
    /// If it has another length.
    ///
    /// ```
    /// use d2l::data::Table;
    ///
    /// let houses = Table::parse("rooms,roof\n2,slate\n,\n4,tile\n")?;
    /// let priced = houses.with("price", vec![1.0, 2.0, 3.0]);
    /// assert_eq!(priced.names(), ["rooms", "roof", "price"]);
    /// # Ok::<(), d2l::FileError>(())
    /// ```
    #[track_caller]
    pub fn with(&self, name: &str, column: impl Into<Column>) -> Table {
        self.with_column(name, column.into())
    }

    #[track_caller]
    fn with_column(&self, name: &str, column: Column) -> Table {
        let mut columns = self.columns.clone();
        match columns.iter_mut().find(|(own, _)| own == name) {
            Some((_, own)) => *own = column,
            None => columns.push((name.to_owned(), column)),
        }
        Table::new(columns)
    }

    /// The number of rows.
    ///
    /// ```
    /// use d2l::data::Table;
    ///
    /// let houses = Table::parse("rooms,roof\n2,slate\n,\n4,tile\n")?;
    /// assert_eq!(houses.num_rows(), 3);
    /// # Ok::<(), d2l::FileError>(())
    /// ```
    pub fn num_rows(&self) -> usize {
        self.num_rows
    }

    /// The names of the columns.
    ///
    /// ```
    /// use d2l::data::Table;
    ///
    /// let houses = Table::parse("rooms,roof\n2,slate\n,\n4,tile\n")?;
    /// assert_eq!(houses.names(), ["rooms", "roof"]);
    /// # Ok::<(), d2l::FileError>(())
    /// ```
    pub fn names(&self) -> Vec<&str> {
        self.columns.iter().map(|(name, _)| &**name).collect()
    }

    /// A column.
    ///
    /// # Panics
    /// If there is none of this name.
    ///
    /// ```
    /// use d2l::data::Table;
    ///
    /// let houses = Table::parse("rooms,roof\n2,slate\n,\n4,tile\n")?;
    /// assert!(houses.column("rooms").is_numeric());
    /// # Ok::<(), d2l::FileError>(())
    /// ```
    #[track_caller]
    pub fn column(&self, name: &str) -> &Column {
        match self.columns.iter().find(|(own, _)| own == name) {
            Some((_, column)) => column,
            None => panic!("no column is named {name:?} among {:?}", self.names()),
        }
    }

    /// The table of these columns alone.
    ///
    /// # Panics
    /// If there is none of some name.
    ///
    /// ```
    /// use d2l::data::Table;
    ///
    /// let houses = Table::parse("rooms,roof\n2,slate\n,\n4,tile\n")?;
    /// assert_eq!(houses.columns(&["roof"]).names(), ["roof"]);
    /// # Ok::<(), d2l::FileError>(())
    /// ```
    #[track_caller]
    pub fn columns(&self, names: &[&str]) -> Table {
        let mut columns = Vec::new();
        for &name in names {
            columns.push((name.to_owned(), self.column(name).clone()));
        }
        Table { columns, num_rows: self.num_rows }
    }

    /// The table without these columns.
    ///
    /// # Panics
    /// If there is none of some name.
    ///
    /// ```
    /// use d2l::data::Table;
    ///
    /// let houses = Table::parse("rooms,roof\n2,slate\n,\n4,tile\n")?;
    /// assert_eq!(houses.without(&["roof"]).names(), ["rooms"]);
    /// # Ok::<(), d2l::FileError>(())
    /// ```
    #[track_caller]
    pub fn without(&self, names: &[&str]) -> Table {
        let own = self.names();
        for name in names {
            assert!(own.contains(name), "no column is named {name:?} among {own:?}");
        }
        let kept: Vec<&str> =
            own.into_iter().filter(|own| !names.contains(own)).collect();
        self.columns(&kept)
    }

    /// The columns of numbers alone.
    ///
    /// ```
    /// use d2l::data::Table;
    ///
    /// let houses = Table::parse("rooms,roof\n2,slate\n,\n4,tile\n")?;
    /// assert_eq!(houses.numeric().names(), ["rooms"]);
    /// # Ok::<(), d2l::FileError>(())
    /// ```
    pub fn numeric(&self) -> Table {
        self.kept(Column::is_numeric)
    }

    /// The columns of text alone.
    ///
    /// ```
    /// use d2l::data::Table;
    ///
    /// let houses = Table::parse("rooms,roof\n2,slate\n,\n4,tile\n")?;
    /// assert_eq!(houses.text().names(), ["roof"]);
    /// # Ok::<(), d2l::FileError>(())
    /// ```
    pub fn text(&self) -> Table {
        self.kept(|column| !column.is_numeric())
    }

    fn kept(&self, keep: impl Fn(&Column) -> bool) -> Table {
        let columns = self.columns.iter().filter(|(_, column)| keep(column));
        Table { columns: columns.cloned().collect(), num_rows: self.num_rows }
    }

    /// The rows with these numbers, in their order.
    ///
    /// # Panics
    /// If a row is not there.
    ///
    /// ```
    /// use d2l::data::Table;
    ///
    /// let houses = Table::parse("rooms,roof\n2,slate\n,\n4,tile\n")?;
    /// assert_eq!(houses.rows(&[2, 0]).numeric().to_tensor().to_vec(), [4.0, 2.0]);
    /// # Ok::<(), d2l::FileError>(())
    /// ```
    #[track_caller]
    pub fn rows(&self, rows: &[usize]) -> Table {
        if let Some(row) = rows.iter().find(|&&row| row >= self.num_rows) {
            panic!("there is no row {row} among {}", self.num_rows);
        }
        let select =
            |(name, column): &(String, Column)| (name.clone(), column.select(rows));
        Table { columns: self.columns.iter().map(select).collect(), num_rows: rows.len() }
    }

    /// The first `count` rows.
    ///
    /// ```
    /// use d2l::data::Table;
    ///
    /// let houses = Table::parse("rooms,roof\n2,slate\n,\n4,tile\n")?;
    /// assert_eq!(houses.head(2).num_rows(), 2);
    /// # Ok::<(), d2l::FileError>(())
    /// ```
    pub fn head(&self, count: usize) -> Table {
        self.rows(&Vec::from_iter(0..count.min(self.num_rows)))
    }

    /// The rows below those of this table are those of `other`.
    ///
    /// # Panics
    /// If names, order or kinds of the columns differ.
    ///
    /// ```
    /// use d2l::data::Table;
    ///
    /// let houses = Table::parse("rooms,roof\n2,slate\n,\n4,tile\n")?;
    /// assert_eq!(houses.above(&houses).num_rows(), 6);
    /// # Ok::<(), d2l::FileError>(())
    /// ```
    #[track_caller]
    pub fn above(&self, other: &Table) -> Table {
        assert!(
            self.names() == other.names(),
            "above: columns {:?} and {:?} differ",
            self.names(),
            other.names()
        );
        let mut columns = Vec::new();
        for ((name, a), (_, b)) in self.columns.iter().zip(&other.columns) {
            let both = match (a.clone(), b) {
                (Column::Numbers(mut a), Column::Numbers(b)) => {
                    a.extend(b);
                    Column::Numbers(a)
                }
                (Column::Text(mut a), Column::Text(b)) => {
                    a.extend(b.iter().cloned());
                    Column::Text(a)
                }
                _ => panic!(
                    "above: column {name:?} is numbers in one table, text in the other"
                ),
            };
            columns.push((name.clone(), both));
        }
        Table { columns, num_rows: self.num_rows + other.num_rows }
    }

    /// Gaps in columns of numbers become the mean of the column's numbers; NaN where there is
    /// none.
    ///
    /// ```
    /// use d2l::data::Table;
    ///
    /// let houses = Table::parse("rooms,roof\n2,slate\n,\n4,tile\n")?;
    /// assert_eq!(houses.numeric().fill_mean().to_tensor().to_vec(), [2.0, 3.0, 4.0]);
    /// # Ok::<(), d2l::FileError>(())
    /// ```
    pub fn fill_mean(&self) -> Table {
        self.numbers_mapped(|values| {
            let known: Vec<f64> = values.iter().flatten().copied().collect();
            let mean = known.iter().sum::<f64>() / known.len() as f64;
            values.iter().map(|value| value.or(Some(mean))).collect()
        })
    }

    /// Gaps in columns of numbers become `value`.
    ///
    /// ```
    /// use d2l::data::Table;
    ///
    /// let houses = Table::parse("rooms,roof\n2,slate\n,\n4,tile\n")?;
    /// assert_eq!(houses.numeric().fill(0.0).to_tensor().to_vec(), [2.0, 0.0, 4.0]);
    /// # Ok::<(), d2l::FileError>(())
    /// ```
    pub fn fill(&self, value: f64) -> Table {
        self.numbers_mapped(|values| {
            values.iter().map(|own| own.or(Some(value))).collect()
        })
    }

    /// Columns of numbers shifted and scaled to mean 0 and standard deviation 1 (with `n - 1`);
    /// constant ones become 0, gaps stay.
    ///
    /// ```
    /// use d2l::data::Table;
    ///
    /// let houses = Table::parse("rooms,roof\n2,slate\n,\n4,tile\n")?;
    /// let x = houses.numeric().fill_mean().standardize().to_tensor();
    /// assert_eq!(x.to_vec(), [-1.0, 0.0, 1.0]);
    /// # Ok::<(), d2l::FileError>(())
    /// ```
    pub fn standardize(&self) -> Table {
        self.numbers_mapped(|values| {
            let known: Vec<f64> = values.iter().flatten().copied().collect();
            let n = known.len() as f64;
            let mean = known.iter().sum::<f64>() / n;
            let squares = known.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>();
            let std = (squares / (n - 1.0).max(1.0)).sqrt();
            let scale = if std > 0.0 { std.recip() } else { 0.0 };
            values.iter().map(|value| value.map(|x| (x - mean) * scale)).collect()
        })
    }

    fn numbers_mapped(&self, f: impl Fn(&[Option<f64>]) -> Vec<Option<f64>>) -> Table {
        let map = |(name, column): &(String, Column)| {
            let column = match column {
                Column::Numbers(values) => Column::Numbers(f(values)),
                text => text.clone(),
            };
            (name.clone(), column)
        };
        Table { columns: self.columns.iter().map(map).collect(), num_rows: self.num_rows }
    }

    /// Every column of text becomes columns of 0 and 1, one for each of its values in
    /// alphabetical order, `name=value`, and one for gaps if there are any, `name=?`.
    ///
    /// ```
    /// use d2l::data::Table;
    ///
    /// let houses = Table::parse("rooms,roof\n2,slate\n,\n4,tile\n")?;
    /// let ones = houses.one_hot();
    /// assert_eq!(ones.names(), ["rooms", "roof=slate", "roof=tile", "roof=?"]);
    /// # Ok::<(), d2l::FileError>(())
    /// ```
    pub fn one_hot(&self) -> Table {
        let mut columns = Vec::new();
        for (name, column) in &self.columns {
            let Column::Text(fields) = column else {
                columns.push((name.clone(), column.clone()));
                continue;
            };
            let mut values: Vec<&Option<String>> = fields.iter().collect();
            // Gaps last.
            values.sort_unstable_by_key(|value| (value.is_none(), value.as_deref()));
            values.dedup();
            for value in values {
                let name = format!("{name}={}", value.as_deref().unwrap_or("?"));
                let is: Vec<f64> =
                    fields.iter().map(|own| f64::from(own == value)).collect();
                columns.push((name, is.into()));
            }
        }
        Table { columns, num_rows: self.num_rows }
    }

    /// The numbers as an `f32` matrix, `(rows, columns)`; gaps are NaN.
    ///
    /// # Panics
    /// If a column holds text.
    ///
    /// ```
    /// use d2l::data::Table;
    ///
    /// let houses = Table::parse("rooms,roof\n2,slate\n,\n4,tile\n")?;
    /// let x = houses.one_hot().to_tensor();
    /// assert_eq!(x.shape(), [3, 4]);
    /// assert!(x.i((1, 0)).item().is_nan());
    /// # Ok::<(), d2l::FileError>(())
    /// ```
    #[track_caller]
    pub fn to_tensor(&self) -> Tensor {
        let mut all = vec![0.0_f64; self.num_rows * self.columns.len()];
        for (at, (name, column)) in self.columns.iter().enumerate() {
            let Column::Numbers(values) = column else {
                panic!(
                    "to_tensor: column {name:?} holds text; make numbers of it (`one_hot`), \
                     or take the columns of numbers (`numeric`)"
                )
            };
            let places = all[at..].iter_mut().step_by(self.columns.len());
            places.zip(values).for_each(|(out, value)| *out = value.unwrap_or(f64::NAN));
        }
        let shape = Shape::new(&[self.num_rows, self.columns.len()]);
        Tensor::new(all, shape).to_dtype(DType::F32)
    }

    /// As an HTML table.
    fn to_html(&self) -> String {
        let escape = |text: &str| {
            text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
        };
        let mut html = String::from("<table class=\"d2l-table\"><thead><tr><th></th>");
        for name in self.names() {
            html += &format!("<th>{}</th>", escape(name));
        }
        html += "</tr></thead><tbody>";
        for row in self.shown_rows() {
            let Some(row) = row else {
                let dots = "<td>…</td>".repeat(self.columns.len() + 1);
                html += &format!("<tr>{dots}</tr>");
                continue;
            };
            html += &format!("<tr><th>{row}</th>");
            for (_, column) in &self.columns {
                let align = if column.is_numeric() { "right" } else { "left" };
                let field = escape(&column.shown(row));
                html += &format!("<td style=\"text-align:{align}\">{field}</td>");
            }
            html += "</tr>";
        }
        html + "</tbody></table>"
    }

    /// The numbers of the rows to show; `None` stands for those left out.
    fn shown_rows(&self) -> Vec<Option<usize>> {
        const MOST: usize = 10;
        let n = self.num_rows;
        if n <= MOST {
            return (0..n).map(Some).collect();
        }
        let first = (0..MOST / 2).map(Some);
        first.chain([None]).chain((n - MOST / 2..n).map(Some)).collect()
    }

    /// Shows the table when it is the last expression of a cell.
    pub fn evcxr_display(&self) {
        display::Show::show(self);
    }
}

impl display::Show for Table {
    fn show(&self) {
        let bundle = display::Bundle::new().with("text/html", self.to_html());
        bundle.with("text/plain", self.to_string()).show();
    }
}

/// A column of numbers if all fields are, else of text.
fn typed(fields: Vec<Option<String>>) -> Column {
    let number = |field: &Option<String>| match field {
        Some(field) => field.parse().ok().map(Some),
        None => Some(None),
    };
    match fields.iter().map(number).collect() {
        Some(numbers) => Column::Numbers(numbers),
        None => Column::Text(fields),
    }
}

/// Aligned columns: numbers to the right, text to the left; of many rows the first and last.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.shown_rows();
        let label =
            |row: Option<usize>| row.map_or("…".to_owned(), |row| row.to_string());
        let width = |cells: &[String]| {
            cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let labels: Vec<String> = rows.iter().map(|&row| label(row)).collect();
        let mut lines = vec![String::new(); rows.len() + 1];
        let mut add = |cells: &[String], right: bool, gap: &str| {
            let width = width(cells);
            for (line, cell) in lines.iter_mut().zip(cells) {
                let pad = " ".repeat(width - cell.chars().count());
                line.push_str(gap);
                if right {
                    line.push_str(&pad);
                }
                line.push_str(cell);
                if !right {
                    line.push_str(&pad);
                }
            }
        };
        add(&[vec![String::new()], labels].concat(), true, "");
        for (name, column) in &self.columns {
            let field = |&row: &Option<usize>| match row {
                Some(row) => column.shown(row),
                None => "…".to_owned(),
            };
            let cells = std::iter::once(name.clone()).chain(rows.iter().map(field));
            add(&Vec::from_iter(cells), column.is_numeric(), "  ");
        }
        for line in &lines {
            writeln!(f, "{}", line.trim_end())?;
        }
        write!(f, "[{} rows × {} columns]", self.num_rows, self.columns.len())
    }
}

/// House sales in Ames, Iowa, from 2006 to 2010 (De Cock, 2011): 2,930 rows, 74 columns, the
/// price in `Sale_Price`. The table is part of the library.
///
/// ```
/// let houses = d2l::data::ames();
/// assert_eq!((houses.num_rows(), houses.names().len()), (2930, 74));
/// ```
pub fn ames() -> Table {
    let bytes = include_bytes!("../../data/ames.csv.gz");
    Table::from_bytes("ames.csv.gz", bytes, b',').expect("the embedded file is a table")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUSES: &str =
        "rooms,roof,price\nNA,slate,127500\n2,,106000\n4,\"a, \"\"b\"\"\",178100\n";

    #[test]
    fn a_table_prints_aligned() {
        let houses = Table::parse(HOUSES).unwrap();
        assert_eq!(
            houses.to_string(),
            "\u{20}  rooms  roof     price\n\
             0     NA  slate   127500\n\
             1      2  NA      106000\n\
             2      4  a, \"b\"  178100\n\
             [3 rows × 3 columns]"
        );
    }

    #[test]
    fn gaps_become_means_and_text_becomes_ones() {
        let houses = Table::parse(HOUSES).unwrap();
        assert_eq!(houses.column("rooms").num_missing(), 1);
        let all = houses.fill_mean().one_hot();
        assert_eq!(
            all.names(),
            ["rooms", "roof=a, \"b\"", "roof=slate", "roof=?", "price"]
        );
        let x = all.without(&["price"]).to_tensor();
        let rows = [3.0, 0.0, 1.0, 0.0, 2.0, 0.0, 0.0, 1.0, 4.0, 1.0, 0.0, 0.0];
        assert_eq!(x.to_vec(), rows);
        let z = houses.numeric().standardize().fill(0.0).to_tensor();
        assert!((z.i((2, 0)).item() - 0.5_f64.sqrt()).abs() < 1e-6);
        assert_eq!(z.i((0, 0)).item(), 0.0);
    }

    #[test]
    fn html_is_escaped() {
        let table = Table::parse("a<b\nx&y\n").unwrap();
        let html = table.to_html();
        assert!(
            html.contains("<th>a&lt;b</th>") && html.contains(">x&amp;y</td>"),
            "{html}"
        );
    }

    #[test]
    fn rows_are_taken_and_joined() {
        let houses = Table::parse(HOUSES).unwrap();
        assert_eq!(houses.rows(&[0]).above(&houses.rows(&[1, 2])), houses);
        assert_eq!(houses.head(9), houses);
    }

    #[test]
    fn lines_of_other_lengths_are_refused() {
        let error = Table::parse("a,b\n1,2\n3\n").unwrap_err().to_string();
        assert!(error.contains("line: 3"), "{error}");
    }

    #[test]
    fn the_houses_of_ames_have_prices() {
        let ames = ames();
        assert_eq!((ames.num_rows(), ames.names().len()), (2930, 74));
        let price = ames.columns(&["Sale_Price"]).to_tensor();
        assert_eq!((price.min().item(), price.max().item()), (12789.0, 755000.0));
        let text = ames.to_string();
        assert_eq!(text.lines().count(), 13);
    }
}
