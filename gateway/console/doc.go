// Package console is the web console: everything below the path admin.handler_prefix. It
// owns who may log in (passwords, login tokens, throttling), the session cookie, the two
// roles, what keeps pages of other sites from acting in somebody's name, the audit log,
// and the embedded pages in web.
//
// It promises that nothing but the pages themselves and the answers of a login is given to
// who has no session; that a cookie alone changes nothing; that each action is logged with
// who did it; and that whoever is logged in is never locked out by those who are not. What
// it holds for strangers is bounded.
//
// It must not know sessions, hubs, engines or the configuration: what pages show and do
// goes through the interfaces of contract.go, which package node implements.
package console
