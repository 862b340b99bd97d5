package admin

import (
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/pprofhandler"
)

// Profile serves Go's profiles. name is the path behind the configured prefix,
// with its slash: "/", "/heap", "/profile".
func Profile(ctx *fasthttp.RequestCtx, name string) {
	if name == "/" {
		name = "" // the index
	}
	ctx.URI().SetPath("/debug/pprof" + name)
	pprofhandler.PprofHandler(ctx)
}
