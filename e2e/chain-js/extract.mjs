// Prints the contracts that the test chain deploys, as JSON {NAME: {abi, bytecode}}, taken from the npm package.
import { pathToFileURL } from "node:url";
import path from "node:path";
import { readFile } from "node:fs/promises";

const factories = "node_modules/@fluencelabs/deal-ts-clients/dist/typechain-types/factories";
const contracts = {
  BalanceKeeper: "BalanceKeeper",
  CapacityFacet: "CapacityFacet",
  CoreFacet: "CoreFacet",
  Deal: "DealV1.sol/Deal",
  DealFactoryFacet: "DealFactoryFacet",
  DealV2: "Deal.sol/DealV2",
  Diamond: "Diamond",
  DiamondCutFacet: "DiamondCutFacet",
  DiamondLoupeFacet: "DiamondLoupeFacet",
  ERC1967Proxy: "ERC1967Proxy",
  MarketFacet: "MarketFacet",
  MarketV2Facet: "MarketV2Facet",
  Multicall3: "Multicall3",
  MulticallFacet: "MulticallFacet",
  OfferFacet: "OfferFacet",
  OfferV2Facet: "OfferV2Facet",
  OwnershipFacet: "OwnershipFacet",
  RandomXProxyMock: "RandomXProxyMock",
  TestERC20: "TestERC20",
  ViewerFacet: "ViewerFacet",
  WETH9: "WETH9",
};

const artifacts = {};
for (const [name, file] of Object.entries(contracts)) {
  const module = path.resolve(factories, `${file}__factory.js`);
  const factory = (await import(pathToFileURL(module)))[`${name}__factory`];
  const bytecode = factory.bytecode ?? (await readFile(module, "utf8")).match(/const _bytecode = "(0x[0-9a-f]+)"/)[1];
  artifacts[name] = { abi: factory.abi, bytecode };
}
process.stdout.write(JSON.stringify(artifacts));
