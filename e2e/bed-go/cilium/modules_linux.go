// Package modules stands in for the agent's own of that name: it asks for a list of the kernel's modules that a kernel
// without modules does not have. What the agent needs of them has to be built in; where it is not, iptables says so.
package modules

func listModules() ([]string, error) {
	return []string{
		"ip_tables", "iptable_filter", "iptable_mangle", "iptable_nat", "iptable_raw",
		"ip6_tables", "ip6table_filter", "ip6table_mangle", "ip6table_raw",
		"xt_socket",
	}, nil
}

func moduleLoader() string { return "modprobe" }
