package main

import (
	"maps"
	"slices"

	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
)

// A registry lets the plugin catalog find the compiled-in engines. Without it, mounting an
// engine panics.
type registry map[string]logical.Factory

func (r registry) Get(name string, kind consts.PluginType) (func() (any, error), bool) {
	factory, ok := r[name]
	if !ok || kind != consts.PluginTypeSecrets {
		return nil, false
	}
	return func() (any, error) { return factory, nil }, true
}

func (r registry) Contains(name string, kind consts.PluginType) bool {
	_, ok := r.Get(name, kind)
	return ok
}

func (r registry) Keys(kind consts.PluginType) []string {
	if kind != consts.PluginTypeSecrets {
		return nil
	}
	return slices.Sorted(maps.Keys(r))
}

func (r registry) DeprecationStatus(name string, kind consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, r.Contains(name, kind)
}

func (r registry) IsBuiltinEntPlugin(string, consts.PluginType) bool { return false }
