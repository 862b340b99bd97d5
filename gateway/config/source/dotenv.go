package source

import (
	"fmt"
	"regexp"
	"strings"
)

var envVarName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)

// ParseDotEnv reads NAME=value lines. Comments start with #, "export " may stand in front of a name; a value in double
// quotes knows \n, \t, \r, \", \\ and \$, one in single quotes is taken as it is. Errors do not quote the line, which may hold a
// secret.
func ParseDotEnv(data []byte) (map[string]string, error) {
	env := map[string]string{}
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name = strings.TrimSpace(strings.TrimPrefix(name, "export "))
		if !ok || !envVarName.MatchString(name) {
			return nil, fmt.Errorf("line %d: allowed NAME=value, a comment, or nothing", i+1)
		}
		value, ok = dotEnvValue(strings.TrimSpace(value))
		if !ok {
			return nil, fmt.Errorf("line %d: value of %s: a quote is not closed, or text follows it", i+1, name)
		}
		env[name] = value
	}
	return env, nil
}

var (
	dotEnvQuoted  = regexp.MustCompile(`^(?:"((?:[^"\\]|\\.)*)"|'([^']*)')\s*(?:#.*)?$`)
	dotEnvEscapes = strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\r`, "\r", `\"`, `"`, `\\`, `\`, `\$`, `$`)
)

func dotEnvValue(s string) (value string, ok bool) {
	if !strings.HasPrefix(s, `"`) && !strings.HasPrefix(s, "'") {
		s, _, _ = strings.Cut(s, " #")
		return strings.TrimSpace(s), true
	}
	m := dotEnvQuoted.FindStringSubmatch(s)
	if m == nil {
		return "", false
	}
	return dotEnvEscapes.Replace(m[1]) + m[2], true
}
