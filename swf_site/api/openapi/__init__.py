"""The OpenAPI document of the REST interface: read off the views, which say only what cannot be read off them."""
