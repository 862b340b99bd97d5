package test

// withCookie is a page that logs in, that is, sets a cookie for its host, and
// opens an EventSource that sends it.
const withCookie = `
document.cookie = "session=%s; path=/";
const sluice = {state: "live", connects: 1, received: []};
const source = new EventSource(%q, {withCredentials: true});
source.onmessage = (event) => { sluice.first ??= JSON.parse(event.data); };
`

// attacking is a page of another site: an image, then a form, then a link.
const attacking = `
const sluice = {state: "live", connects: 1, received: []};
const url = %q;
const image = new Image();
image.onerror = () => { sluice.imaged = true; };
image.src = url + "?image";
function post() {
	const form = document.createElement("form");
	form.method = "post"; form.enctype = "text/plain"; form.action = url + "?form";
	document.body.append(form);
	form.submit();
}
function follow() { location.href = url + "?link"; }
`

// ownPage connects in the three ways that a page of the public origin has.
const ownPage = `
const sluice = {state: "live", connects: 1, received: [], done: {}};
const path = %q;
const source = new EventSource(path);
source.onmessage = (event) => { if (JSON.parse(event.data).connect) sluice.done.source = 200; };
fetch(path, {method: "POST", headers: {"Content-Type": "application/json"}, body: "{}"})
	.then((answer) => { sluice.done.post = answer.status; return answer.body.cancel(); });
fetch(path + "/ticket", {method: "POST", body: "{}"}).then((answer) => { sluice.done.ticket = answer.status; });
`
