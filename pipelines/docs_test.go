package pipelines_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/configs"
)

// Budgets in lines. A generated file has none, and a test function, which may
// be a table, only that of its file.
const (
	fileLines     = 400
	testLines     = 700
	functionLines = 60
	mainLines     = 30
	readmeLines   = 160
	packageFiles  = 9 // of a package of pipelines
)

// generated is the standard line of a generated file.
var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

// TestPackageComments fails a package with no comment, or with two.
func TestPackageComments(t *testing.T) {
	comments := map[string][]string{}
	for _, file := range goFiles(t) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", file), nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		pkg := filepath.Dir(file)
		if f.Doc == nil {
			comments[pkg] = append([]string{}, comments[pkg]...)
			continue
		}
		comments[pkg] = append(comments[pkg], file)
		want := "Package " + f.Name.Name + " "
		if f.Name.Name == "main" {
			want = "Command " + filepath.Base(pkg) + " "
		}
		if !strings.HasPrefix(f.Doc.Text(), want) {
			t.Errorf("%s: the package comment does not start with %q", file, want)
		}
	}
	for pkg, files := range comments {
		if len(files) != 1 {
			t.Errorf("%s has %d package comments, want one: %v", pkg, len(files), files)
		}
	}
}

// TestBudgets fails a file or a function that is too long.
func TestBudgets(t *testing.T) {
	for _, file := range goFiles(t) {
		text, err := os.ReadFile(filepath.Join("..", file))
		if err != nil {
			t.Fatal(err)
		}
		if generated.Match(text) {
			continue
		}
		limit := fileLines
		switch {
		case strings.HasSuffix(file, "_test.go"):
			limit = testLines
		case filepath.Base(file) == "main.go":
			limit = mainLines
		}
		if n := bytes.Count(text, []byte("\n")); n > limit {
			t.Errorf("%s has %d lines, more than %d", file, n, limit)
		}
		if limit != testLines {
			checkFunctions(t, file, text)
		}
	}
}

func checkFunctions(t *testing.T, file string, text []byte) {
	t.Helper()
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, file, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok {
			if n := set.Position(fn.End()).Line - set.Position(fn.Pos()).Line + 1; n > functionLines {
				t.Errorf("%s: %s has %d lines, more than %d", file, fn.Name.Name, n, functionLines)
			}
		}
	}
}

// TestPackageFiles fails a package of pipelines with too many files, but for
// internal/command, which has one for each command.
func TestPackageFiles(t *testing.T) {
	files := map[string]int{}
	for _, file := range goFiles(t) {
		if pkg := filepath.ToSlash(filepath.Dir(file)); strings.HasPrefix(pkg, "pipelines/") && pkg != "pipelines/internal/command" && !strings.HasSuffix(file, "_test.go") {
			files[pkg]++
		}
	}
	for pkg, n := range files {
		if n > packageFiles {
			t.Errorf("%s has %d files, more than %d: it is more than one noun", pkg, n, packageFiles)
		}
	}
}

// TestPackageTests fails a package of pipelines with too few lines of tests, but for
// those of a single main and the helpers of tests.
func TestPackageTests(t *testing.T) {
	code, tests := map[string]int{}, map[string]int{}
	for _, file := range goFiles(t) {
		pkg := filepath.ToSlash(filepath.Dir(file))
		if !strings.HasPrefix(pkg, "pipelines/") || pkg == "pipelines/internal/tiny" || filepath.Base(file) == "main.go" {
			continue
		}
		text, err := os.ReadFile(filepath.Join("..", file))
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(text, []byte("\n")); strings.HasSuffix(file, "_test.go") {
			tests[pkg] += n
		} else {
			code[pkg] += n
		}
	}
	for pkg, n := range code {
		if 10*tests[pkg] < 7*n {
			t.Errorf("%s has %d lines of tests for %d of code, less than 0.7 a line", pkg, tests[pkg], n)
		}
	}
}

// readmes are the README at the top and that of each folder.
func readmes(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, folder := range append([]string{""}, folders...) {
		name := filepath.Join(folder, "README.md")
		data, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(data)
	}
	if n := strings.Count(texts["README.md"], "\n"); n > readmeLines {
		t.Errorf("README.md has %d lines, more than %d", n, readmeLines)
	}
	return texts
}

// TestReadmeCode compares the Go code of the READMEs with the examples it is from.
func TestReadmeCode(t *testing.T) {
	example, err := os.ReadFile(filepath.Join("round", "example_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(filepath.Join("app", "testdata", "strip", "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	example = append(example, program...)
	found := 0
	for name, text := range readmes(t) {
		for i, block := range regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(text, -1) {
			if found++; !bytes.Contains(example, []byte(block[1])) {
				t.Errorf("%s: block %d of Go code is neither in round/example_test.go nor in app/testdata/strip", name, i+1)
			}
		}
	}
	if found == 0 {
		t.Error("no README has Go code")
	}
}

// TestReadmeConfig loads the config that the README shows.
func TestReadmeConfig(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(readmes(t)["README.md"], -1)
	if len(blocks) != 1 {
		t.Fatalf("the README shows %d configs, want 1", len(blocks))
	}
	file := filepath.Join(t.TempDir(), "book.yaml")
	if err := os.WriteFile(file, []byte(blocks[0][1]), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := configs.Load(configs.Options{Config: file}); err != nil {
		t.Error(err)
	}
}

// TestReadmeLinks follows the links of the READMEs to files of this tree.
func TestReadmeLinks(t *testing.T) {
	for name, text := range readmes(t) {
		for _, link := range regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`).FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join("..", filepath.Dir(name), link[1])); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestReadmeTests looks for a test for every alternative of each `go test -run` in
// the READMEs, in the package that the command names.
func TestReadmeTests(t *testing.T) {
	command := regexp.MustCompile("go test [^`]*?-(?:run|bench) '?([\\w\\\\|]*\\w)'?[^`]* \\./([\\w/]+?)(/\\.\\.\\.)?`")
	names := regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Example)\w*)\(`)
	for readme, text := range readmes(t) {
		for _, c := range command.FindAllStringSubmatch(text, -1) {
			var tests []string
			for _, file := range goFiles(t) {
				dir := filepath.ToSlash(filepath.Dir(file))
				if !strings.HasSuffix(file, "_test.go") || dir != c[2] && (c[3] == "" || !strings.HasPrefix(dir, c[2]+"/")) {
					continue
				}
				data, err := os.ReadFile(filepath.Join("..", file))
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range names.FindAllStringSubmatch(string(data), -1) {
					tests = append(tests, m[1])
				}
			}
			for _, want := range strings.FieldsFunc(c[1], func(r rune) bool { return r == '|' || r == '\\' }) {
				if !slices.ContainsFunc(tests, func(name string) bool { return strings.Contains(name, want) }) {
					t.Errorf("%s: %s: no test of %s has %s in its name", readme, c[0], c[2], want)
				}
			}
		}
	}
}
