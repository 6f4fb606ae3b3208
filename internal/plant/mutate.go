package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// mutant is a small change somewhere in a file.
type mutant struct {
	file     string
	line     int
	what     string
	from, to int // the bytes that text stands for
	text     string
}

// plantMutants draws n of all mutants of some files or folders and plants
// them.
func (g *garden) plantMutants(in []string, n int, seed uint64) error {
	files, err := sources(g.root, in)
	if err != nil {
		return err
	}
	var all []mutant
	for _, file := range files {
		ms, err := mutants(g.root, file)
		if err != nil {
			return err
		}
		all = append(all, ms...)
	}
	drawn := len(all)
	r := rand.New(rand.NewPCG(seed, 0))
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	all = all[:min(n, len(all))]
	fates := inTurn(len(all), func(i int) fate { return g.plantMutant(all[i]) })
	caught, lost, began := 0, 0, time.Now()
	for i, m := range all {
		switch f := <-fates[i]; {
		case f.err != nil:
			lost++ // most do not compile
		case f.test != "":
			caught++
			fmt.Printf("%s:%d: %s: %s, %.1f s\n", m.file, m.line, m.what, f, f.took.Seconds())
		default:
			fmt.Printf("%s:%d: %s: %s\n", m.file, m.line, m.what, f)
		}
	}
	fmt.Printf("\n%d of %d possible mutants drawn: %d caught, %d not caught, %d do not compile, in %.0f s\n",
		len(all), drawn, caught, len(all)-caught-lost, lost, time.Since(began).Seconds())
	return nil
}

func (g *garden) plantMutant(m mutant) fate {
	source, err := os.ReadFile(filepath.Join(g.root, m.file))
	if err != nil {
		return fate{err: err}
	}
	if m.to > len(source) {
		return fate{err: fmt.Errorf("%s has changed", m.file)}
	}
	source = slices.Concat(source[:m.from], []byte(m.text), source[m.to:])
	return g.try(m.file, source, rooms[filepath.ToSlash(filepath.Dir(m.file))], "")
}

// sources returns the Go files that are no tests among some files and in some
// folders, each relative to root.
func sources(root string, in []string) (files []string, err error) {
	for _, name := range in {
		if strings.HasSuffix(name, ".go") {
			files = append(files, name)
			continue
		}
		found, err := filepath.Glob(filepath.Join(root, name, "*.go"))
		if err != nil || len(found) == 0 {
			return nil, fmt.Errorf("looking for Go files in %q: found %d, %v", name, len(found), err)
		}
		for _, path := range found {
			if !strings.HasSuffix(path, "_test.go") {
				files = append(files, filepath.Join(name, filepath.Base(path)))
			}
		}
	}
	return files, nil
}

// breeder makes the mutants of one file.
type breeder struct {
	file   string
	source []byte
	set    *token.FileSet
	all    []mutant
}

func mutants(root, file string) ([]mutant, error) {
	source, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		return nil, err
	}
	b := breeder{file: file, source: source, set: token.NewFileSet()}
	tree, err := parser.ParseFile(b.set, file, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	for _, d := range tree.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
			if f.Type.Results == nil {
				b.insert(f.Body.Lbrace+1, "return; ", "return at once from "+f.Name.Name)
			}
			ast.Inspect(f.Body, func(n ast.Node) bool { b.node(n); return true })
		}
	}
	return b.all, nil
}

func (b *breeder) at(p token.Pos) int { return b.set.Position(p).Offset }

func (b *breeder) text(n ast.Node) string { return string(b.source[b.at(n.Pos()):b.at(n.End())]) }

// replace has text stand for what is between two places.
func (b *breeder) replace(from, to token.Pos, text, what string) {
	line := b.set.Position(from).Line
	b.all = append(b.all, mutant{b.file, line, what, b.at(from), b.at(to), text})
}

func (b *breeder) insert(at token.Pos, text, what string) { b.replace(at, at, text, what) }

// node makes the mutants of one node of the tree.
func (b *breeder) node(n ast.Node) {
	switch n := n.(type) {
	case *ast.IfStmt:
		b.negate(n.Cond)
	case *ast.ForStmt:
		if n.Cond != nil {
			b.negate(n.Cond)
		}
	case *ast.CaseClause:
		for _, e := range n.List {
			if _, ok := e.(*ast.BinaryExpr); ok {
				b.negate(e)
			}
		}
	case *ast.BinaryExpr:
		b.binary(n)
	case *ast.BasicLit:
		if i, err := strconv.Atoi(n.Value); n.Kind == token.INT && err == nil {
			b.replace(n.Pos(), n.End(), strconv.Itoa(i+1), n.Value+" becomes one more")
		}
	case *ast.Ident:
		b.ident(n)
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "max" || f.Name == "min") {
			b.replace(f.Pos(), f.End(), map[string]string{"max": "min", "min": "max"}[f.Name], "the other of min and max in "+short(b.text(n)))
		}
	case *ast.BlockStmt:
		b.drop(n.List)
	}
	if c, ok := n.(*ast.CaseClause); ok {
		b.drop(c.Body)
	}
}

func (b *breeder) negate(e ast.Expr) {
	b.replace(e.Pos(), e.End(), "!("+b.text(e)+")", "not "+short(b.text(e)))
}

func (b *breeder) ident(n *ast.Ident) {
	switch n.Name {
	case "true":
		b.replace(n.Pos(), n.End(), "false", "true becomes false")
	case "false":
		b.replace(n.Pos(), n.End(), "true", "false becomes true")
	}
}

// others says what may stand for an operator.
var others = map[token.Token][]string{
	token.LSS: {"<="}, token.LEQ: {"<"}, token.GTR: {">="}, token.GEQ: {">"},
	token.EQL: {"!="}, token.NEQ: {"=="}, token.ADD: {"-"}, token.SUB: {"+"},
	token.LAND: {"||"}, token.LOR: {"&&"}, token.MUL: {"/"}, token.QUO: {"*"},
}

func (b *breeder) binary(n *ast.BinaryExpr) {
	for _, op := range others[n.Op] {
		b.replace(n.OpPos, n.OpPos+token.Pos(len(n.Op.String())), op, n.Op.String()+" becomes "+op+" in "+short(b.text(n)))
	}
	if n.Op == token.LAND || n.Op == token.LOR {
		b.replace(n.Pos(), n.End(), b.text(n.X), "without "+short(b.text(n.Y)))
		b.replace(n.Pos(), n.End(), b.text(n.Y), "without "+short(b.text(n.X)))
	}
}

// drop leaves statements out, one at a time.
func (b *breeder) drop(list []ast.Stmt) {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.ExprStmt, *ast.IncDecStmt, *ast.BranchStmt, *ast.DeferStmt:
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE {
				continue
			}
		case *ast.ReturnStmt:
			if len(s.Results) > 0 {
				continue
			}
		case *ast.IfStmt:
			if s.Init != nil {
				continue
			}
		default:
			continue
		}
		b.replace(s.Pos(), s.End(), "", "without "+short(b.text(s)))
	}
}

// short cuts a text to one line that is not long.
func short(s string) string {
	first, rest, more := bytes.Cut([]byte(s), []byte("\n"))
	if s = string(first); more && len(rest) > 0 {
		s += " ..."
	}
	if r := []rune(s); len(r) > 90 {
		s = string(r[:90]) + " ..."
	}
	return s
}
