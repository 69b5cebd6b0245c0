// Package kinds follows which kinds of objects the cluster has, and the objects of those kinds that selectors are
// resolved for.
//
//	all := kinds.New(client.Discovery(), kinds.Options{Interval: 10 * time.Minute})
//	selected := kinds.NewObjects(metadataClient, all, cluster.Pods(), kinds.ObjectsOptions{})
//	all.OnChange(func(s *kinds.Snapshot) { rules = naming.Compile(cfg, s, options) })
//	go all.Run(ctx)
//	go selected.Run(ctx)
//
//	names, err := selected.Names(ctx, deployments, "shop", selector)
//
// Kinds come from the API server's aggregated discovery: two requests each time. Objects come from informers that hold
// metadata only; one is started when a kind is first asked for, and no request leads to a LIST of its own.
package kinds
