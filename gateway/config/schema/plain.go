package schema

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/gateway/config/source"
)

// Plain returns all of v, a struct of s, as a file would say it.
func (s *Section) Plain(v reflect.Value) *source.Node {
	o := &source.Object{}
	for _, f := range s.Fields {
		o.Members = append(o.Members, source.Member{Key: f.Name, Value: f.Plain(v.FieldByIndex(f.Index))})
	}
	return &source.Node{Value: o}
}

// Plain returns the value of an option, or of a section, as a file would say it: what Assign makes v of.
func (f *Field) Plain(v reflect.Value) *source.Node {
	switch f.Kind {
	case KindSection:
		return f.Sub.Plain(v)
	case KindObjects:
		items := make([]*source.Node, v.Len())
		for i := range items {
			items[i] = f.Sub.Plain(v.Index(i))
		}
		return &source.Node{Value: items}
	case KindStrings:
		items := make([]*source.Node, v.Len())
		for i := range items {
			items[i] = &source.Node{Value: v.Index(i).String()}
		}
		return &source.Node{Value: items}
	case KindStringMap:
		o, pairs := &source.Object{}, v.Interface().(map[string]string)
		for _, key := range slices.Sorted(maps.Keys(pairs)) {
			o.Members = append(o.Members, source.Member{Key: key, Value: &source.Node{Value: pairs[key]}})
		}
		return &source.Node{Value: o}
	default:
		return &source.Node{Value: f.scalar(v)}
	}
}

// scalar is Plain for what is no list and no map.
func (f *Field) scalar(v reflect.Value) any {
	switch f.Kind {
	case KindBool:
		return v.Bool()
	case KindDuration:
		return f.showDuration(time.Duration(v.Int()))
	case KindRange:
		return v.Interface().(DurationRange).String()
	case KindPort:
		if port, err := strconv.ParseUint(v.String(), 10, 16); err == nil && strconv.FormatUint(port, 10) == v.String() {
			return source.Number(v.String())
		}
	}
	if v.CanInt() {
		return source.Number(strconv.FormatInt(v.Int(), 10))
	}
	return v.String()
}

// showDuration renders d as the default does if it is that, else without zero parts: 720h instead of 720h0m0s.
func (f *Field) showDuration(d time.Duration) string {
	if def, err := time.ParseDuration(f.Default); err == nil && def == d {
		return f.Default
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
