package pipelines_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Budgets in lines. A generated file has none, and a test function, which may
// be a table, only that of its file.
const (
	fileLines     = 400
	testLines     = 700
	functionLines = 60
	mainLines     = 30
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

// TestReadme compares the Go code of the README with the example it is from.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile(filepath.Join("round", "example_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllSubmatch(readme, -1)
	if len(blocks) == 0 {
		t.Error("the README has no Go code")
	}
	for i, block := range blocks {
		if !bytes.Contains(example, block[1]) {
			t.Errorf("block %d of Go code in the README is not in round/example_test.go", i+1)
		}
	}
}
