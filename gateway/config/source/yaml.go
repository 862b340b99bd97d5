package source

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of a YAML file. Aliases are followed by copying, so that a few lines could stand for billions of values; and
// the library takes time with the square of the keys of one mapping.
const (
	maxYAMLTokens = 100_000
	maxYAMLValues = 100_000
)

// ParseYAML reads one YAML document into a tree with line numbers. Anchors, aliases and merge keys are followed; of two
// values of one key in a mapping both are in the tree. Errors give line and column and never quote the text, which may
// hold secrets.
//
// Why recover: it is an operator's text, and a panic of the library on an odd one must not stop the program without
// naming the file.
func ParseYAML(data []byte) (tree *Node, err error) {
	defer func() {
		if v := recover(); v != nil {
			tree, err = nil, errNotYAML
		}
	}()
	if !utf8.Valid(data) {
		return nil, errNotUTF8
	}
	file, err := yamlFile(strings.TrimPrefix(string(data), "\ufeff"))
	if err != nil {
		return nil, err
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if _, isDirective := doc.Body.(*ast.DirectiveNode); doc.Body == nil || isDirective {
			continue
		}
		if body != nil {
			return nil, fmt.Errorf("line %d: a second document: allowed one", yamlLine(doc.Body))
		}
		body = doc.Body
	}
	if body == nil {
		return nil, errEmpty
	}
	r := &yamlReader{anchors: map[string]*Node{}}
	return r.value(body, 0)
}

var errNotYAML = errors.New("not YAML that can be read")

// yamlFile parses text with the library.
func yamlFile(text string) (*ast.File, error) {
	tokens := lexer.Tokenize(text)
	if err := checkYAMLTokens(tokens); err != nil {
		return nil, err
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err == nil {
		return file, nil
	}
	var tokenError interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if errors.As(err, &tokenError) && tokenError.GetToken() != nil && tokenError.GetToken().Position != nil {
		p := tokenError.GetToken().Position
		return nil, fmt.Errorf("line %d, column %d: %s", p.Line, p.Column, withoutQuotes(tokenError.GetMessage()))
	}
	return nil, errNotYAML
}

var quoted = regexp.MustCompile("\"[^\"]*\"|'[^']*'|`[^`]*`")

// withoutQuotes takes what a library's error quotes of the text out of it, except single characters.
func withoutQuotes(message string) string {
	return quoted.ReplaceAllStringFunc(strings.ToValidUTF8(message, "?"), func(quote string) string {
		const most = len(`'\n'`)
		if len(quote) <= most {
			return quote
		}
		return "(...)"
	})
}

// checkYAMLTokens refuses what the parser could not stand: it recurses, with time that grows with the square of depth.
func checkYAMLTokens(tokens token.Tokens) error {
	if len(tokens) > maxYAMLTokens {
		return fmt.Errorf("more than %d values and marks", maxYAMLTokens)
	}
	var flow, line, inLine int
	var columns []int // of the first tokens of the lines that the current one is inside of
	for _, t := range tokens {
		if t.Position == nil {
			continue
		}
		if t.Position.Line != line {
			line, inLine = t.Position.Line, 0
			for len(columns) > 0 && columns[len(columns)-1] >= t.Position.Column {
				columns = columns[:len(columns)-1]
			}
			columns = append(columns, t.Position.Column)
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow = max(flow-1, 0)
		case token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.TagType:
			inLine++
		}
		if flow > maxDepth || inLine > maxDepth || flow == 0 && len(columns) > 2*maxDepth {
			return fmt.Errorf("line %d, column %d: allowed at most %d levels", t.Position.Line, t.Position.Column, maxDepth)
		}
	}
	return nil
}

const tooManyValues = "more than %d values; aliases count as often as they are used"

func yamlLine(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

// yamlReader turns the library's tree into ours.
type yamlReader struct {
	anchors map[string]*Node
	values  int // so far, with those that aliases stand for
}

func (r *yamlReader) fail(n ast.Node, format string, args ...any) error {
	return fmt.Errorf("line %d: %s", yamlLine(n), fmt.Sprintf(format, args...))
}

func (r *yamlReader) value(n ast.Node, depth int) (*Node, error) {
	if depth > maxDepth {
		return nil, r.fail(n, "allowed at most %d levels", maxDepth)
	}
	if r.values++; r.values > maxYAMLValues {
		return nil, r.fail(n, tooManyValues, maxYAMLValues)
	}
	out := &Node{Line: yamlLine(n)}
	var err error
	switch n := n.(type) {
	case *ast.MappingNode:
		out.Value, err = r.mapping(n.Values, depth)
	case *ast.MappingValueNode:
		out.Value, err = r.mapping([]*ast.MappingValueNode{n}, depth)
	case *ast.SequenceNode:
		out.Value, err = r.list(n, depth)
	case *ast.AnchorNode:
		v, err := r.value(n.Value, depth+1)
		if err == nil {
			r.anchors[n.Name.GetToken().Value] = v
		}
		return v, err
	case *ast.AliasNode:
		return r.alias(n, depth)
	case *ast.TagNode:
		return r.tag(n, depth)
	default:
		out.Value, err = r.scalar(n)
	}
	return out, err
}

// scalar returns the value of a node that holds no other. A number keeps its value, not the way it is written.
func (r *yamlReader) scalar(n ast.Node) (any, error) {
	switch n := n.(type) {
	case *ast.NullNode:
		return nil, nil
	case *ast.BoolNode:
		return n.Value, nil
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.IntegerNode:
		return Number(fmt.Sprint(n.Value)), nil
	case *ast.FloatNode:
		return Number(strconv.FormatFloat(n.Value, 'g', -1, 64)), nil
	case *ast.InfinityNode, *ast.NanNode:
		return nil, r.fail(n, "allowed finite numbers")
	default:
		return nil, r.fail(n, "a value that is not understood: allowed mappings, lists, texts, numbers, true, false and null")
	}
}

func (r *yamlReader) alias(n *ast.AliasNode, depth int) (*Node, error) {
	target := r.anchors[n.Value.GetToken().Value]
	if target == nil {
		return nil, r.fail(n, "an alias of an anchor that is not there, or not complete")
	}
	values, levels := target.Measure()
	if r.values += values; r.values > maxYAMLValues {
		return nil, r.fail(n, tooManyValues, maxYAMLValues)
	}
	if depth+levels > maxDepth {
		return nil, r.fail(n, "allowed at most %d levels", maxDepth)
	}
	return &Node{Value: target.Value, Line: yamlLine(n)}, nil
}

// tag checks the standard tags, which say what is there anyway, except that !!str makes a text of any scalar.
func (r *yamlReader) tag(n *ast.TagNode, depth int) (*Node, error) {
	v := &Node{Line: yamlLine(n)}
	var err error
	if n.Value != nil {
		if v, err = r.value(n.Value, depth+1); err != nil {
			return nil, err
		}
	}
	ok := true
	switch name := n.Start.Value; name {
	case "!!str", "!":
		if _, isText := v.Value.(string); !isText && n.Value != nil {
			if _, ok = n.Value.(ast.ScalarNode); ok {
				v.Value = n.Value.GetToken().Value
			}
		}
	case "!!int", "!!float":
		_, ok = v.Value.(Number)
	case "!!bool":
		_, ok = v.Value.(bool)
	case "!!null":
		ok = v.Value == nil
	case "!!map":
		_, ok = v.Value.(*Object)
	case "!!seq":
		_, ok = v.Value.([]*Node)
	default:
		return nil, r.fail(n, "a tag that is not understood: allowed !!str, !!int, !!float, !!bool, !!null, !!map and !!seq")
	}
	if !ok {
		return nil, r.fail(n, "a value that is not what its tag says")
	}
	return v, nil
}

func (r *yamlReader) list(n *ast.SequenceNode, depth int) ([]*Node, error) {
	l := make([]*Node, 0, len(n.Values))
	for _, item := range n.Values {
		v, err := r.value(item, depth+1)
		if err != nil {
			return nil, err
		}
		l = append(l, v)
	}
	return l, nil
}

func (r *yamlReader) mapping(values []*ast.MappingValueNode, depth int) (*Object, error) {
	o, merged := &Object{}, []Member(nil)
	for _, mv := range values {
		v, err := r.value(mv.Value, depth+1)
		if err != nil {
			return nil, err
		}
		if mv.Key.IsMergeKey() {
			if merged, err = r.merge(mv, v, merged); err != nil {
				return nil, err
			}
			continue
		}
		key, err := r.key(mv.Key)
		if err != nil {
			return nil, err
		}
		v.Line = yamlLine(mv.Key)
		o.Members = append(o.Members, Member{key, v})
	}
	// What is there itself beats what is merged in, and of that the first does.
	for _, m := range merged {
		if o.Get(m.Key) == nil {
			o.Members = append(o.Members, m)
		}
	}
	return o, nil
}

// merge adds the members that a merge key stands for: those of one mapping, or of each in a list.
func (r *yamlReader) merge(mv *ast.MappingValueNode, v *Node, merged []Member) ([]Member, error) {
	sources, isList := v.Value.([]*Node)
	if !isList {
		sources = []*Node{v}
	}
	for _, s := range sources {
		o, ok := s.Value.(*Object)
		if !ok {
			return nil, r.fail(mv.Key, "<<: allowed an alias of a mapping, or a list of such")
		}
		for _, m := range o.Members {
			if r.values++; r.values > maxYAMLValues {
				return nil, r.fail(mv.Key, tooManyValues, maxYAMLValues)
			}
			merged = append(merged, m)
		}
	}
	return merged, nil
}

func (r *yamlReader) key(n ast.Node) (string, error) {
	switch k := n.(type) {
	case *ast.MappingKeyNode:
		if k.Value != nil {
			return r.key(k.Value)
		}
	case *ast.StringNode:
		return k.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		return n.GetToken().Value, nil
	}
	return "", r.fail(n, "a key that is not understood: allowed a plain or quoted text")
}
