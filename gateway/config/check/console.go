package check

import (
	"sluice/gateway/config/schema"
	"sluice/gateway/problem"
)

// minPassword is how many bytes a password of the console has at the least, which is tried
// out a few times a minute at most.
const minPassword = 8

// console checks who may log in to the console.
func (v *checker) console() {
	a := &v.c.Admin
	if !a.Enabled {
		return
	}
	const password, readOnly, secret = "admin.password", "admin.read_only_password", "admin.secret"
	switch {
	case a.Insecure:
		v.Note("admin.insecure", problem.Open, "true: everybody who reaches the console can publish, disconnect clients and see who is there")
	case a.Password == "" && a.ReadOnlyPassword == "" && a.Secret == "" && v.sound(password, readOnly, secret):
		v.Note("admin.enabled", problem.Unusable, "nobody can log in to the console: set admin.password, or admin.secret for login tokens").With(password, readOnly, secret)
	case a.Password != "" && a.Password == a.ReadOnlyPassword:
		v.Fail(readOnly, "the same as admin.password, and so everybody who may look could act: allowed another one").With(password)
	}
}

// shortConsole notes secrets of the console that can be tried out.
func shortConsole(a *schema.Admin, short func(key, secret, advice string, least int)) {
	if !a.Enabled || a.Insecure {
		return
	}
	const guess = "whoever reaches the console can guess it; use %d or more that are random"
	short("admin.password", a.Password, guess, minPassword)
	short("admin.read_only_password", a.ReadOnlyPassword, guess, minPassword)
	short("admin.secret", a.Secret, "whoever has a login token or a cookie of the console can guess it, and make others; use %d or more that are random", minHMACKey)
}
