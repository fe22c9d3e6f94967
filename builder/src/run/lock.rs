//! The part of a lock file that a crate depends on.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

#[derive(Deserialize)]
struct LockFile {
    #[serde(default)]
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
    /// `name`, `name version` or `name version (source)`: as much as tells it from others.
    #[serde(default)]
    dependencies: Vec<String>,
}

/// What `lock` says of the crate `name` and all that it depends on; `None` if it does not know it.
pub(super) fn of_crate(lock: &str, name: &str) -> Option<String> {
    let file: LockFile = toml::from_str(lock).ok()?;
    let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, package) in file.package.iter().enumerate() {
        by_name.entry(&package.name).or_default().push(index);
    }
    let mut reached = BTreeSet::new();
    let mut open = by_name.get(name)?.clone();
    while let Some(index) = open.pop() {
        if !reached.insert(index) {
            continue;
        }
        for dependency in &file.package[index].dependencies {
            let mut words = dependency.split(' ');
            let name = words.next().unwrap_or_default();
            let version = words.next();
            let same = by_name.get(name).into_iter().flatten().copied();
            open.extend(
                same.filter(|&i| version.is_none_or(|v| file.package[i].version == v)),
            );
        }
    }
    let mut text = String::new();
    for package in reached.into_iter().map(|index| &file.package[index]) {
        let Package { name, version, source, checksum, .. } = package;
        let _ = writeln!(text, "{name} {version} {source:?} {checksum:?}");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::of_crate;

    #[test]
    fn only_what_the_crate_depends_on_counts() {
        let package = |name: &str, version: &str, dependencies: &str| {
            format!(
                "[[package]]\nname = \"{name}\"\nversion = \"{version}\"\ndependencies = [{dependencies}]\n"
            )
        };
        let lock = |leaf: &str, other: &str| {
            [
                package("lib", "0.1.0", "\"a\", \"b 2.0.0\""),
                package("a", leaf, ""),
                package("b", "1.0.0", ""),
                package("b", "2.0.0", "\"lib\""),
                package("tool", other, "\"lib\""),
            ]
            .concat()
        };
        let before = of_crate(&lock("1.0.0", "1.0.0"), "lib").unwrap();
        assert!(before.contains("a 1.0.0") && before.contains("b 2.0.0"), "{before}");
        assert!(!before.contains("b 1.0.0") && !before.contains("tool"), "{before}");
        assert_eq!(of_crate(&lock("1.0.0", "9.0.0"), "lib").unwrap(), before);
        assert_ne!(of_crate(&lock("1.0.1", "1.0.0"), "lib").unwrap(), before);
        assert_eq!(of_crate(&lock("1.0.0", "1.0.0"), "none"), None);
        assert_eq!(of_crate("no lock file", "lib"), None);
    }
}
