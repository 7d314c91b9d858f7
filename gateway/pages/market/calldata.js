// How is a contract called? Four bytes that name the function, then its words.

// The first four bytes of each signature's hash; a test holds them to the contracts' ABI.
const SELECTORS = {
  approve: "095ea7b3", // approve(address,uint256)
  allowance: "dd62ed3e", // allowance(address,address)
  balanceOf: "70a08231", // balanceOf(address)
  deposit: "979d4971", // deposit(address,uint256,address,bytes32)
};

const word = (value) => BigInt(value).toString(16).padStart(64, "0");
export function calldata(name, ...words) {
  return `0x${SELECTORS[name]}${words.map(word).join("")}`;
}
