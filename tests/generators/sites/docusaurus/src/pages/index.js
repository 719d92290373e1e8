import Link from "@docusaurus/Link";
import Layout from "@theme/Layout";
import React from "react";

export default function Start() {
  return <Layout title="Start"><main><h1>Otters</h1><p>Animals that swim. <Link to="/docs/guide/food">Food</Link></p></main></Layout>;
}
