package source

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

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
func ParseYAML(data []byte) (*Node, error) { return read(data, "YAML", parseYAML) }

func parseYAML(data []byte) (*Node, error) {
	file, err := yamlFile(string(data))
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
	r := &yamlReader{anchors: map[string]yamlAnchor{}}
	tree := r.value(body)
	if r.err == nil {
		r.err = tree.checkDepth(0)
	}
	return tree, r.err
}

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
	return nil, unreadable("YAML")
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
			return fmt.Errorf("line %d, column %d: %s", t.Position.Line, t.Position.Column, tooDeep)
		}
	}
	return nil
}

func yamlLine(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

// yamlReader turns the library's tree into ours.
type yamlReader struct {
	reader
	anchors map[string]yamlAnchor
	values  int // so far, with those that aliases stand for
}

// yamlAnchor is what aliases stand for.
type yamlAnchor struct {
	*Node
	values int // in it, with itself
}

func (r *yamlReader) wrong(n ast.Node, detail string) { r.fail(yamlLine(n), "%s", detail) }

// count counts values that n stands for.
func (r *yamlReader) count(n ast.Node, values int) {
	if r.values += values; r.values > maxYAMLValues {
		r.fail(yamlLine(n), "more than %d values; aliases count as often as they are used", maxYAMLValues)
	}
}

func (r *yamlReader) value(n ast.Node) *Node {
	out := &Node{Line: yamlLine(n)}
	if r.count(n, 1); r.err != nil {
		return out
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		out.Value = r.mapping(n.Values)
	case *ast.MappingValueNode:
		out.Value = r.mapping([]*ast.MappingValueNode{n})
	case *ast.SequenceNode:
		l := make([]*Node, 0, len(n.Values))
		for _, item := range n.Values {
			l = append(l, r.value(item))
		}
		out.Value = l
	case *ast.AnchorNode:
		before := r.values
		out = r.value(n.Value)
		r.anchors[n.Name.GetToken().Value] = yamlAnchor{out, r.values - before}
	case *ast.AliasNode:
		if target, ok := r.anchors[n.Value.GetToken().Value]; ok {
			r.count(n, target.values)
			out.Value = target.Value
		} else {
			r.wrong(n, "an alias of an anchor that is not there, or not complete")
		}
	case *ast.TagNode:
		return r.tag(n)
	default:
		out.Value = r.scalar(n)
	}
	return out
}

// scalar returns the value of a node that holds no other. A number keeps its value, not the way it is written.
func (r *yamlReader) scalar(n ast.Node) any {
	switch n := n.(type) {
	case *ast.NullNode:
	case *ast.BoolNode:
		return n.Value
	case *ast.StringNode:
		return n.Value
	case *ast.LiteralNode:
		return n.Value.Value
	case *ast.IntegerNode:
		return Number(fmt.Sprint(n.Value))
	case *ast.FloatNode:
		return Number(strconv.FormatFloat(n.Value, 'g', -1, 64))
	case *ast.InfinityNode, *ast.NanNode:
		r.wrong(n, "allowed finite numbers")
	default:
		r.wrong(n, "a value that is not understood: allowed mappings, lists, texts, numbers, true, false and null")
	}
	return nil
}

// tag checks the standard tags, which say what is there anyway, except that !!str makes a text of any scalar.
func (r *yamlReader) tag(n *ast.TagNode) *Node {
	v := &Node{Line: yamlLine(n)}
	if n.Value != nil {
		v = r.value(n.Value)
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
		r.wrong(n, "a tag that is not understood: allowed !!str, !!int, !!float, !!bool, !!null, !!map and !!seq")
	}
	if !ok {
		r.wrong(n, "a value that is not what its tag says")
	}
	return v
}

func (r *yamlReader) mapping(values []*ast.MappingValueNode) *Object {
	o, merged := &Object{}, []Member(nil)
	for _, mv := range values {
		v := r.value(mv.Value)
		if mv.Key.IsMergeKey() {
			merged = append(merged, r.merged(mv.Key, v)...)
			continue
		}
		v.Line = yamlLine(mv.Key)
		o.Members = append(o.Members, Member{Key: r.key(mv.Key), Value: v})
	}
	// What is there itself beats what is merged in, and of that the first does.
	for _, m := range merged {
		if r.err == nil && o.Get(m.Key) == nil {
			o.Members = append(o.Members, m)
		}
	}
	return o
}

// merged returns the members that a merge key stands for: those of one mapping, or of each in a list.
func (r *yamlReader) merged(key ast.Node, v *Node) (members []Member) {
	sources, isList := v.Value.([]*Node)
	if !isList {
		sources = []*Node{v}
	}
	for _, s := range sources {
		o, ok := s.Value.(*Object)
		if !ok {
			r.wrong(key, "<<: allowed an alias of a mapping, or a list of such")
			return nil
		}
		if r.count(key, len(o.Members)); r.err != nil {
			return nil
		}
		members = append(members, o.Members...)
	}
	return members
}

func (r *yamlReader) key(n ast.Node) string {
	switch k := n.(type) {
	case *ast.MappingKeyNode:
		if k.Value != nil {
			return r.key(k.Value)
		}
	case *ast.StringNode:
		return k.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		return n.GetToken().Value
	}
	r.wrong(n, "a key that is not understood: allowed a plain or quoted text")
	return ""
}
