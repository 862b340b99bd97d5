package legacy

import (
	"regexp"
	"slices"
	"strings"

	"sluice/gateway/config/report"
	"sluice/gateway/config/schema"
	"sluice/gateway/config/source"
)

// Rewriter turns settings of versions 4 and 5 into those of version 6. It remembers from one source to the next what the old
// names of all of them mean. The zero value is ready.
type Rewriter struct {
	five bool // the old names are those of version 5, not 4
	// In the granular mode of hooks a name switches a hook on (PROTOCOL 8.5).
	granular bool
}

// Rewrite returns the settings of one source with the names of version 6: what was rewritten first, so that of two settings for
// one option the one that has its name counts, then everything else as it is. In a file the keys at the top are one setting each;
// the key of a variable is that of an option if it names one, else its name in lower case without the prefix.
//
// notes say what was noticed on the way, wrong what cannot be taken, which is not in out.
func (r *Rewriter) Rewrite(in []source.Setting) (out []source.Setting, notes []report.Finding, wrong []*report.KeyError) {
	r.five = r.five || isVersion5(in)
	var all batch
	var rest []source.Setting
	for len(in) > 0 {
		b := batch{r: r, spelling: spellingOf(in[0].Origin), taken: map[string]string{}}
		n := slices.IndexFunc(in, func(s source.Setting) bool { return spellingOf(s.Origin) != b.spelling })
		if n < 0 {
			n = len(in)
		}
		b.split(in[:n])
		in = in[n:]
		b.rewrite()
		all.out, all.notes, all.wrong = append(all.out, b.out...), append(all.notes, b.notes...), append(all.wrong, b.wrong...)
		rest = append(rest, b.rest...)
	}
	return append(all.out, rest...), all.notes, all.wrong
}

// batch is what Rewrite takes together: a file, the flags, or the variables with one prefix.
type batch struct {
	r        *Rewriter
	spelling string           // see spellingOf
	old      []source.Setting // with keys of versions 4 and 5, in lower case
	hooks    []source.Setting // those of the granular mode
	first    *source.Setting  // of both
	rest     []source.Setting

	taken map[string]string // option -> the old name that set it
	out   []source.Setting
	notes []report.Finding
	wrong []*report.KeyError
}

// spellingOf says how names are written where a setting comes from: the kind of the source with what stands in front of each
// name, "env SLUICE_" or "flag --". All else is a file.
func spellingOf(origin string) string {
	for _, prefix := range schema.EnvPrefixes {
		if strings.HasPrefix(origin, "env "+prefix) {
			return "env " + prefix
		}
	}
	if strings.HasPrefix(origin, "flag --") {
		return "flag --"
	}
	return origin
}

func (b *batch) isFile() bool { return strings.HasPrefix(b.spelling, "file ") }

// spell returns how an option is named in the source.
func (b *batch) spell(key string) string {
	if prefix, ok := strings.CutPrefix(b.spelling, "env "); ok {
		return prefix + schema.EnvName(key)
	}
	if b.spelling == "flag --" {
		return "--" + key
	}
	return key
}

// split tells old names from all others.
func (b *batch) split(in []source.Setting) {
	mode := false // the list of entries is that of the granular mode
	for _, s := range in {
		if strings.EqualFold(s.Key, granularMode) {
			text, isText := s.Value.Value.(source.Text)
			mode = mode || s.Value.Value == true || isText && text != ""
			b.r.granular = b.r.granular || s.Value.Value == true || text == "true"
		}
	}
	for _, s := range in {
		old := s
		old.Key = strings.ToLower(s.Key)
		switch {
		case b.spelling != "flag --" && (isGranular(old.Key) || mode && old.Key == granularList):
			b.hooks = append(b.hooks, old)
		case b.isOld(old):
			b.old = append(b.old, old)
		default:
			b.rest = append(b.rest, s)
			continue
		}
		if b.first == nil {
			b.first = &old
		}
	}
}

// isOld reports whether a setting has a name of versions 4 and 5. Names that are sections now are told by their value: a switch,
// or the name of an engine (PROTOCOL 9.1).
func (b *batch) isOld(s source.Setting) bool {
	if schema.FindOption(s.Key) != nil {
		return false
	}
	n, ok := find(s.Key)
	if !ok {
		return false
	}
	if env, ok := strings.CutPrefix(s.Origin, b.spelling); ok && strings.HasPrefix(b.spelling, "env ") {
		_, _, lacking := LackingEnv(env, "", nil)
		return !lacking
	}
	_, isText := s.Value.Value.(source.Text)
	switch {
	case isText:
		return true
	case n.to[0] == n.old+".enabled":
		_, is := s.Value.Value.(bool)
		return is
	case n.to[0] == n.old+".type":
		word, is := s.Value.Value.(string)
		return is && engineName.MatchString(word)
	}
	return true
}

// engineName is the shape of the name of an engine. Why not any string: an address that stands there by mistake may
// hold a password, and the error for a section never shows it.
var engineName = regexp.MustCompile(`^[a-zA-Z_]{0,32}$`)

// versionMarks are keys that version 4 did not have (PROTOCOL 9.2).
var versionMarks = []string{
	"client_connect_code_to_unidirectional_disconnect", "uni_sse_connect_code_to_http_response", "token_user_id_claim",
	"force_recovery_mode", "allowed_delta_types", "delta_publish", "client_connect_include_server_time",
	"client_user_id_http_header", "client_insecure_skip_token_signature_verify", "client_channel_position_max_time_lag",
	"api_error_mode", "global_history_meta_ttl", "global_presence_ttl", "separate_subscription_token_config",
	"proxy_static_http_headers", "consumers",
}

// isVersion5 reports whether the old names of a file or of variables can only be those of version 5.
func isVersion5(in []source.Setting) bool {
	marks := func(key string) bool { return slices.Contains(versionMarks, strings.ToLower(key)) }
	for _, s := range in {
		if marks(s.Key) && !strings.HasPrefix(s.Origin, "flag ") {
			return true
		}
		namespaces, _ := s.Value.Value.([]*source.Node)
		for _, ns := range namespaces {
			o, ok := ns.Value.(*source.Object)
			if ok && strings.EqualFold(s.Key, "namespaces") && slices.ContainsFunc(o.Members, func(m source.Member) bool {
				return marks(m.Key) || strings.EqualFold(m.Key, "history_meta_ttl")
			}) {
				return true
			}
		}
	}
	return false
}
