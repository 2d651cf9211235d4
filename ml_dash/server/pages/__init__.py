"""The pages to look at runs: a template, modules for the browser, and the routes that give them."""
