//go:build linux

package rig

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"text/template"

	"sluice/bench/load"
	"sluice/bench/proc"
)

// NchanSide is what nchan is called in tables and by -peers: the peer that Debian's
// packages bring.
const NchanSide = "nchan"

const nchanMissing = "apt-get install nginx libnginx-mod-nchan"

//go:embed peers/nchan/nginx.conf.tmpl
var nchanTemplate string

// nchanModules is where distributions put the module.
var nchanModules = []string{"/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/local/nginx/modules"}

const nchanModule = "ngx_nchan_module.so"

// findNchan returns the program and the module.
func findNchan() (binary, module string, err error) {
	if binary, err = exec.LookPath("nginx"); err != nil {
		binary, err = exec.LookPath("/usr/sbin/nginx")
	}
	if err != nil {
		return "", "", fmt.Errorf("bench: nginx is not installed: %s; %w", nchanMissing, errNoPeer)
	}
	for _, dir := range nchanModules {
		module = filepath.Join(dir, nchanModule)
		if _, err := os.Stat(module); err == nil {
			return binary, module, nil
		}
	}
	return "", "", fmt.Errorf("bench: nginx has no %s: %s; %w", nchanModule, nchanMissing, errNoPeer)
}

// nchanSettings fill the template.
type nchanSettings struct {
	Module        string
	Port          int
	Files, Buffer int
	Root          bool
}

// nchanBuffer is how many messages a channel keeps for who asks again.
const nchanBuffer = 64

func nchanConfig(s nchanSettings) ([]byte, error) {
	t, err := template.New("nginx.conf").Parse(nchanTemplate)
	if err != nil {
		return nil, fmt.Errorf("bench: nchan: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, s); err != nil {
		return nil, fmt.Errorf("bench: nchan: %w", err)
	}
	return b.Bytes(), nil
}

// startNchan starts nginx with a folder of its own on a free port, for so many
// files per worker.
func startNchan(ctx context.Context, dir, channel string, files int) (*server, error) {
	binary, module, err := findNchan()
	if err != nil {
		return nil, err
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	config, err := nchanConfig(nchanSettings{Module: module, Port: port, Files: files, Buffer: nchanBuffer, Root: os.Geteuid() == 0})
	if err != nil {
		return nil, err
	}
	prefix := filepath.Join(dir, NchanSide)
	file := filepath.Join(prefix, "nginx.conf")
	if err := errors.Join(os.MkdirAll(prefix, 0o700), os.WriteFile(file, config, 0o600)); err != nil {
		return nil, fmt.Errorf("bench: nchan: %w", err)
	}
	base := "http://127.0.0.1:" + strconv.Itoa(port)
	s, err := spawn(ctx, exec.Command(binary, "-p", prefix, "-c", file, "-e", filepath.Join(prefix, "error.log")), base+"/health")
	if err != nil {
		return nil, err
	}
	workers, err := proc.Children(s.cmd.Process.Pid)
	if err != nil {
		s.stop()
		return nil, err
	}
	s.target = &load.Target{
		StreamURL: base + "/sub", APIURL: base + "/pub", Channel: channel, Speaks: load.Nchan{},
		PIDs: append(workers, s.cmd.Process.Pid),
	}
	return s, nil
}
